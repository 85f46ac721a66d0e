/** What `POST /v1/chat/completions` and `POST /v1/completions` have in common: from the HTTP request to the answer. */
import type { Context } from 'hono';
import type { GatewayEnv } from '../../gateway.ts';
import { RequestMeter } from '../../metering/request-meter.ts';
import { isRingEntry, type Catalog, type CatalogEntry } from '../../routing/catalog.ts';
import { heldResponse } from '../http/held-response.ts';
import { planChat } from './chat-plan.ts';
import { planCompletion } from './completion-plan.ts';
import { toApiError, type ApiError } from './errors.ts';
import {
  GenerationRun,
  type GenerationJob,
  type GenerationRouteDeps,
  type GenerationSurface,
} from './generation-run.ts';
import { unknownModel } from './models.ts';
import { parseOriginChat } from './origin-chat-request.ts';
import { parseOriginCompletion } from './origin-completion-request.ts';
import { CHAT_RELAY, COMPLETION_RELAY } from './relay-wire.ts';
import { readBody, takeRouting, type RoutedBody } from './request-body.ts';

export const CHAT_SURFACE: GenerationSurface = {
  name: 'chat.completions',
  operation: 'chat',
  idPrefix: 'chatcmpl',
  planRing: planChat,
  parseOrigin: parseOriginChat,
  relay: CHAT_RELAY,
};

export const COMPLETION_SURFACE: GenerationSurface = {
  name: 'completions',
  operation: 'completion',
  idPrefix: 'cmpl',
  planRing: planCompletion,
  parseOrigin: parseOriginCompletion,
  relay: COMPLETION_RELAY,
};

/** What a request may fall back to when it does not say: nothing, until keys have policies of their own. */
const KEY_FALLBACK_POLICY = 'none';

export async function answerGeneration(
  context: Context<GatewayEnv>,
  surface: GenerationSurface,
  deps: GenerationRouteDeps,
): Promise<Response> {
  const requestId = context.get('requestId');
  const tenant = context.get('tenant');
  const startedAtMs = deps.epochMs();
  const meter = new RequestMeter(deps.metering, deps.clock, { requestId, tenant, surface: surface.name, startedAtMs });
  try {
    const routed = takeRouting(await readBody(context.req.raw, deps.limits), KEY_FALLBACK_POLICY);
    const run = new GenerationRun({ ...route(surface, routed, deps), meter, context: planContext(tenant, deps) }, deps);
    const { isStream } = await run.prepare();
    return await respond(context.req.raw, run, isStream, meter, requestId, deps);
  } catch (thrown) {
    const { status, code } = toApiError(thrown).details;
    meter.end(status < 500 ? 'refused' : 'failed', code ?? null);
    throw thrown;
  }
}

function planContext(tenant: string, deps: GenerationRouteDeps): GenerationJob['context'] {
  return {
    // The client's request id may repeat; ids of answers and of sequences must not.
    requestId: deps.randomId(),
    tenant,
    limits: deps.limits,
    created: Math.floor(deps.epochMs() / 1000),
    randomSeed: deps.randomSeed,
  };
}

/** @throws ApiError for a model that is not there, and for a body that is wrong for every backend it may go to. */
function route(
  surface: GenerationSurface,
  { body, model, policy }: RoutedBody,
  { catalog, limits }: GenerationRouteDeps,
): Pick<GenerationJob, 'surface' | 'body' | 'asked' | 'fallback' | 'originRequest'> {
  const asked = model === null ? undefined : catalog.find(model);
  const fallback = policy === 'none' ? undefined : entryOfTier(catalog, policy);
  // The ring's own schema refuses what the ring does not do; the origins' schema knows all of OpenAI's API.
  const isForRingAlone = asked !== undefined && [asked, fallback ?? asked].every(isRingEntry);
  const originRequest = isForRingAlone ? null : surface.parseOrigin(body, limits);
  if (asked === undefined) {
    throw unknownModel(catalog, model ?? '');
  }
  return { surface, body, asked, fallback, originRequest };
}

function entryOfTier(catalog: Catalog, tier: CatalogEntry['tier']): CatalogEntry | undefined {
  return catalog.entries.find((entry) => entry.tier === tier);
}

function respond(
  request: Request,
  run: GenerationRun,
  isStream: boolean,
  meter: RequestMeter,
  requestId: string,
  deps: GenerationRouteDeps,
): Promise<Response> {
  // Aborted when the client is gone: then every sequence and every call to an origin ends at once.
  const gone = new AbortController();
  // Some runtimes tell here, too, that the client is gone; in Workers it shows when the answer is written.
  request.signal.addEventListener('abort', () => gone.abort());
  const describe = (thrown: unknown): ApiError => {
    const error = toApiError(thrown);
    if (error.details.status >= 500) {
      deps.reportError(requestId, thrown);
    }
    return error;
  };
  return heldResponse(deps.clock, {
    parts: run.parts(gone.signal),
    heartbeat: isStream ? ': keep-alive\n\n' : ' ',
    decided: run.canMove ? run.settled : null,
    sendHead: () => ({
      'content-type': isStream ? 'text/event-stream; charset=utf-8' : 'application/json; charset=utf-8',
      'cache-control': 'no-cache',
      'x-accel-buffering': 'no',
      ...run.sendHead(),
    }),
    failureResponse: (thrown) => describe(thrown).toResponse(),
    failurePart: (thrown) => (isStream ? `data: ${describe(thrown).toJson()}\n\n` : describe(thrown).toJson()),
    onClientGone: () => {
      gone.abort();
      // Now, not when the events have ended: the runtime may drop what a request without a client still had to do.
      meter.end('client_gone');
    },
  });
}
