/**
 * `POST /v1/embeddings`, `/v1/rerank` and `/v1/images/generations`: by the ring where it can, by an origin that can, or
 * refused by name.
 */
import type { Context } from 'hono';
import type { GatewayEnv } from '../../gateway.ts';
import { RequestMeter } from '../../metering/request-meter.ts';
import { OriginError, type CallResult } from '../../origin/origin-backend.ts';
import type { Embedder } from '../../embeddings/embed-texts.ts';
import { isRingEntry, type CatalogEntry, type RingEntry } from '../../routing/catalog.ts';
import { decideRoute } from '../../routing/route-decision.ts';
import { heldJson } from '../http/held-json.ts';
import type { CallSurface } from './call-requests.ts';
import { toApiError } from './errors.ts';
import type { GenerationRouteDeps } from './generation-run.ts';
import { unknownModel } from './models.ts';
import { obstacleError } from './obstacle-errors.ts';
import { estimatePromptTokens } from './origin-run.ts';
import { planRingCall, type RingCallPlan } from './ring-call.ts';
import { readBody, takeRouting } from './request-body.ts';
import { refuseKey } from './run-route.ts';

interface CallJob {
  readonly surface: CallSurface;
  readonly entry: CatalogEntry;
  readonly fallbackReason: string | null;
  readonly body: Readonly<Record<string, unknown>>;
  /** Null when an origin serves. */
  readonly ring: RingJob | null;
  readonly tenant: string;
  readonly meter: RequestMeter;
}

interface RingJob {
  readonly plan: RingCallPlan;
  readonly embedder: Embedder;
}

export async function answerCall(
  context: Context<GatewayEnv>,
  surface: CallSurface,
  deps: GenerationRouteDeps,
): Promise<Response> {
  const tenant = context.get('tenant');
  const requestId = context.get('requestId');
  const startedAtMs = deps.epochMs();
  const meter = new RequestMeter(deps.metering, deps.clock, { requestId, tenant, surface: surface.name, startedAtMs });
  try {
    refuseKey(context.req.raw);
    const routed = await routeCall(context.req.raw, surface, deps, meter);
    return await respond(context.req.raw, { ...routed, surface, tenant, meter }, requestId, deps);
  } catch (thrown) {
    const { status, code } = toApiError(thrown).details;
    meter.end(status < 500 ? 'refused' : 'failed', code ?? null);
    throw thrown;
  }
}

async function routeCall(
  request: Request,
  surface: CallSurface,
  deps: GenerationRouteDeps,
  meter: RequestMeter,
): Promise<Pick<CallJob, 'entry' | 'fallbackReason' | 'body' | 'ring'>> {
  const { catalog, limits, origins } = deps;
  const { body: value, model, policy } = takeRouting(await readBody(request, limits), 'none');
  const body = surface.parse(value, limits);
  const asked = catalog.find(model ?? '');
  if (asked === undefined) {
    throw unknownModel(catalog, model ?? '');
  }
  meter.requested({ model: asked.id, isStream: false, numChoices: 1 });
  const needs = [{ capability: surface.capability, param: null }];
  const decision = decideRoute({
    asked,
    fallback: policy === 'none' ? undefined : catalog.entries.find(({ tier }) => tier === policy),
    needs,
    numTokensAtLeast: 1,
    originsCanServe: (id, needed, numTokens) => origins.canServe(id, needed, numTokens),
    learnt: new Map(),
  });
  if (decision.type === 'refuse') {
    throw obstacleError(asked, needs, decision.obstacle);
  }
  const { entry, fallbackReason } = decision;
  const ring = isRingEntry(entry) ? await planOnRing(entry, surface, body, deps) : null;
  const promptTokens = ring?.plan.promptTokens ?? estimatePromptTokens(body);
  meter.routed({ servedModel: entry.id, tier: entry.tier, fallbackReason, promptTokens, isEstimated: ring === null });
  return { entry, fallbackReason, body, ring };
}

async function planOnRing(
  entry: RingEntry,
  surface: CallSurface,
  body: Readonly<Record<string, unknown>>,
  deps: GenerationRouteDeps,
): Promise<RingJob> {
  const { projectionPath, assetsPath, model } = entry.backend;
  const [first, ...others] = shuffled(deps.featureHeads(entry), deps.randomSeed());
  if (projectionPath === undefined || first === undefined) {
    throw new Error(`the ring was chosen for '${surface.capability}', which it does not have`);
  }
  const [textModel, projection] = await Promise.all([
    deps.textModel(assetsPath),
    deps.projection(projectionPath, model),
  ]);
  const plan = planRingCall({ surface, body, model: entry.id, textModel }, projection.dimensions);
  const embedder = { projection, heads: [first, ...others] as const, clock: deps.clock, requestId: deps.randomId() };
  return { plan, embedder };
}

/** Replicas are alike for features: the one to begin with is drawn. */
function shuffled<T>(items: readonly T[], seed: number): T[] {
  const start = seed % Math.max(1, items.length);
  return [...items.slice(start), ...items.slice(0, start)];
}

function respond(request: Request, job: CallJob, requestId: string, deps: GenerationRouteDeps): Promise<Response> {
  const { ring, meter, entry, fallbackReason } = job;
  return heldJson(request, {
    clock: deps.clock,
    meter,
    work: (signal) => (ring === null ? callOrigin(job, signal, deps) : runOnRing(job, ring, signal)),
    headers: () => ({
      'x-lamina-served-by': meter.servedBy ?? (ring === null ? 'origins' : `ring/${servedModel(entry)}`),
      ...(fallbackReason === null ? {} : { 'x-lamina-fallback': fallbackReason }),
    }),
    reportError: (thrown) => deps.reportError(requestId, thrown),
  });
}

function servedModel({ id, backend }: CatalogEntry): string {
  return backend.type === 'ring' ? backend.model : id;
}

async function runOnRing({ entry, meter }: CallJob, ring: RingJob, signal: AbortSignal): Promise<unknown> {
  const answer = await ring.plan.run(ring.embedder, signal);
  meter.answeredBy(`ring/${servedModel(entry)}`);
  meter.counted({ promptTokens: ring.plan.promptTokens, completionTokens: 0, cachedTokens: 0, reasoningTokens: 0 });
  return answer;
}

async function callOrigin(
  { surface, entry, body, tenant, meter }: CallJob,
  signal: AbortSignal,
  deps: GenerationRouteDeps,
): Promise<unknown> {
  const request = {
    requestId: deps.randomId(),
    tenant,
    operation: surface.operation,
    model: entry.id,
    needs: new Set([surface.capability]),
    body,
    affinityKey: null,
    priority: 'normal',
    promptTokensEstimate: estimatePromptTokens(body),
  } as const;
  try {
    const result = await deps.origins.call(request, signal);
    noteResult(meter, result);
    return result.body;
  } catch (thrown) {
    if (thrown instanceof OriginError) {
      meter.attempted(thrown.attempts);
    }
    throw thrown;
  }
}

function noteResult(meter: RequestMeter, { servedBy, usage }: CallResult): void {
  meter.attempted(servedBy.attempts);
  meter.answeredBy(`origins/${servedBy.originId}`);
  if (usage !== null) {
    meter.counted(usage);
  }
}
