/**
 * One request for generated text on its way to a backend: from the body to the parts of an answer. Which backend serves
 * it is settled by its first event; until then, and only where the client allows it, another one may take over.
 */
import { AbortedError } from '../../../shards/client/abort.ts';
import type { GatewayDeps, ReplicasOf } from '../../gateway.ts';
import type { GenerationJournal } from '../../generation/journal.ts';
import type { GatewayLimits } from '../../limits.ts';
import type { RequestMeter } from '../../metering/request-meter.ts';
import type { StreamedOperation } from '../../origin/origin-backend.ts';
import type { Need } from '../../routing/capabilities.ts';
import { isRingEntry, type CatalogEntry, type RingEntry } from '../../routing/catalog.ts';
import type { ResumeLimits } from '../../../shards/client/recovery.ts';
import { decideRoute, type LearntObstacle } from '../../routing/route-decision.ts';
import { toApiError } from './errors.ts';
import { obstacleError, obstacleOfFailure } from './obstacle-errors.ts';
import type { ParsedOriginRequest } from './origin-request.ts';
import { estimatePromptTokens, originEvents } from './origin-run.ts';
import type { PlanContext, RingPlan } from './plan.ts';
import { relayAnswer, relayParts, type RelayFormat } from './relay-wire.ts';
import { ringEvents } from './ring-run.ts';

export interface GenerationRouteDeps extends GatewayDeps {
  readonly limits: GatewayLimits;
  readonly resumeLimits: ResumeLimits;
  readonly replicas: ReplicasOf;
}

/** What the interfaces differ in. */
export interface GenerationSurface {
  readonly name: 'chat.completions' | 'completions';
  readonly operation: StreamedOperation;
  readonly idPrefix: string;
  readonly planRing: (body: unknown, context: PlanContext) => Promise<RingPlan>;
  readonly parseOrigin: (body: unknown, limits: GatewayLimits) => ParsedOriginRequest;
  readonly relay: RelayFormat;
}

/** Everything that is known of a request before a backend is chosen. */
export interface GenerationJob {
  readonly surface: GenerationSurface;
  readonly body: unknown;
  readonly asked: CatalogEntry;
  /** Where the client allows to go instead. */
  readonly fallback: CatalogEntry | undefined;
  /** Null when no origin may serve the request. */
  readonly originRequest: ParsedOriginRequest | null;
  /** Without `model`, which depends on who serves. */
  readonly context: Omit<PlanContext, 'model'>;
  readonly meter: RequestMeter;
  /** Of a run whose chunks are kept: it is answered in chunks, whatever the client asked for. Null for the others. */
  readonly journal: GenerationJournal | null;
  /** The entry that has served the beginning: nobody else can go on. Null for a request that begins. */
  readonly boundTo: CatalogEntry | null;
}

export interface Serving {
  /** Id of the catalogue's entry. */
  readonly model: string;
  /** `ring/<model>`, `origins/<id>`, or `origins` before one of them has answered. */
  readonly servedBy: string;
  readonly fallbackReason: string | null;
}

export function servingHeaders({ servedBy, fallbackReason }: Serving): Record<string, string> {
  return {
    'x-lamina-served-by': servedBy,
    ...(fallbackReason === null ? {} : { 'x-lamina-fallback': fallbackReason }),
  };
}

/** The request in the terms of one backend. */
type BoundRequest = { readonly entry: CatalogEntry; readonly fallbackReason: string | null } & (
  { readonly plan: RingPlan } | { readonly plan: null; readonly request: ParsedOriginRequest }
);

export class GenerationRun {
  readonly #job: GenerationJob;
  readonly #deps: GenerationRouteDeps;
  readonly #learnt = new Map<string, LearntObstacle>();
  #bound: BoundRequest | null = null;
  #isSettled = false;
  #settle = (): void => {};
  /** Resolves when no other backend will take over any more. */
  readonly settled: Promise<void>;

  constructor(job: GenerationJob, deps: GenerationRouteDeps) {
    this.#job = job;
    this.#deps = deps;
    this.settled = new Promise((resolve) => {
      this.#settle = resolve;
    });
  }

  /** Whether another backend may take over. */
  get canMove(): boolean {
    const { fallback, boundTo } = this.#job;
    return boundTo === null && fallback !== undefined && this.#current().entry.id !== fallback.id;
  }

  /** Finds who serves the request. @returns whether the answer is a stream. @throws ApiError when nobody does. */
  async prepare(): Promise<{ isStream: boolean }> {
    const { asked, meter, originRequest } = this.#job;
    const { isStream: isStreamAsked = false, numChoices: numChoicesAsked = 0 } = originRequest ?? {};
    meter.requested({ model: asked.id, isStream: isStreamAsked, numChoices: numChoicesAsked });
    const bound = await this.#bind();
    const { plan } = bound;
    const { isStream, numChoices } =
      plan === null ? bound.request : { isStream: plan.isStream, numChoices: plan.sequences.length };
    meter.requested({ model: asked.id, isStream, numChoices });
    return { isStream };
  }

  /** Who serves the request, as far as it is known. */
  get serving(): Serving {
    const { entry, fallbackReason } = this.#current();
    const backend = isRingEntry(entry) ? `ring/${entry.backend.model}` : 'origins';
    return { model: entry.id, servedBy: this.#job.meter.servedBy ?? backend, fallbackReason };
  }

  /** From here on nobody else takes over: the client has been told who serves it. */
  sendHead(): Record<string, string> {
    this.#markSettled();
    return servingHeaders(this.serving);
  }

  /** The answer; ends the record, however it ends. */
  async *parts(signal: AbortSignal): AsyncGenerator<string, void, undefined> {
    const { meter } = this.#job;
    try {
      yield* this.#attempts(signal);
    } catch (thrown) {
      if (thrown instanceof AbortedError) {
        meter.end('client_gone');
      } else {
        meter.end('failed', toApiError(thrown).details.code ?? null);
      }
      throw thrown;
    } finally {
      // Nothing was thrown and nothing completed: the reader left.
      meter.end('client_gone');
      this.#markSettled();
    }
  }

  async *#attempts(signal: AbortSignal): AsyncGenerator<string, void, undefined> {
    for (;;) {
      const bound = this.#current();
      // What one attempt has started ends with it, even when another one follows.
      const attempt = new AbortController();
      const abort = (): void => attempt.abort();
      signal.addEventListener('abort', abort);
      try {
        yield* bound.plan === null
          ? this.#originParts(bound.entry, bound.request, attempt.signal)
          : this.#ringParts(bound.plan, attempt.signal);
        return;
      } catch (thrown) {
        const obstacle = this.#isSettled || signal.aborted ? null : obstacleOfFailure(thrown);
        if (obstacle === null) {
          throw thrown;
        }
        this.#learnt.set(bound.entry.id, obstacle);
        await this.#bind();
      } finally {
        signal.removeEventListener('abort', abort);
        abort();
      }
    }
  }

  #ringParts(plan: RingPlan, signal: AbortSignal): AsyncGenerator<string, void, undefined> {
    const { meter, journal } = this.#job;
    const events = this.#untilEnd(ringEvents(plan, meter, signal, journal, this.#deps));
    return plan.isStream || journal !== null ? plan.writer.streamParts(events) : single(plan.writer.jsonAnswer(events));
  }

  #originParts(
    entry: CatalogEntry,
    request: ParsedOriginRequest,
    signal: AbortSignal,
  ): AsyncGenerator<string, void, undefined> {
    const { context, meter, surface, journal } = this.#job;
    const events = this.#untilEnd(
      originEvents(
        this.#deps.origins,
        {
          requestId: context.requestId,
          tenant: context.tenant,
          operation: surface.operation,
          model: entry.id,
          needs: new Set(request.needs.map(({ capability }) => capability)),
          body: request.body,
          affinityKey: request.affinityKey,
          priority: 'normal',
          promptTokensEstimate: estimatePromptTokens(request.body),
        },
        meter,
        signal,
      ),
    );
    const head = { id: `${surface.idPrefix}-${context.requestId}`, created: context.created, model: entry.id };
    const options = { head, includeUsage: request.includeUsage };
    return request.isStream || journal !== null
      ? relayParts(surface.relay, options, events)
      : single(relayAnswer(surface.relay, options, events));
  }

  /** What a backend says, up to its end, which is also that of the record: the client may leave while it is written. */
  async *#untilEnd<T>(events: AsyncGenerator<T, void, undefined>): AsyncGenerator<T, void, undefined> {
    for await (const event of events) {
      this.#markSettled();
      yield event;
    }
    this.#job.meter.end('completed');
  }

  /** Chooses, and chooses again when the ring's own rules refuse what looked possible. */
  async #bind(): Promise<BoundRequest> {
    const { boundTo, originRequest } = this.#job;
    const asked = boundTo ?? this.#job.asked;
    const needs: readonly Need[] = originRequest?.needs ?? [];
    for (;;) {
      const decision = decideRoute({
        asked,
        fallback: boundTo === null ? this.#job.fallback : undefined,
        needs,
        numTokensAtLeast: originRequest?.numTokensAtLeast ?? 1,
        originsCanServe: (model, needed, numTokens) => this.#deps.origins.canServe(model, needed, numTokens),
        learnt: this.#learnt,
      });
      if (decision.type === 'refuse') {
        throw obstacleError(asked, needs, decision.obstacle);
      }
      const { entry, fallbackReason } = decision;
      try {
        this.#bound = isRingEntry(entry)
          ? { entry, fallbackReason, plan: await this.#planRing(entry) }
          : { entry, fallbackReason, plan: null, request: this.#requestForOrigins() };
      } catch (thrown) {
        const obstacle = obstacleOfFailure(thrown);
        if (obstacle === null) {
          throw thrown;
        }
        this.#learnt.set(entry.id, obstacle);
        continue;
      }
      this.#noteRoute(this.#bound);
      return this.#bound;
    }
  }

  #planRing(entry: RingEntry): Promise<RingPlan> {
    const model = async () => ({ entry, text: await this.#deps.textModel(entry.backend.assetsPath) });
    return this.#job.surface.planRing(this.#job.body, { ...this.#job.context, model });
  }

  #requestForOrigins(): ParsedOriginRequest {
    const { originRequest } = this.#job;
    if (originRequest === null) {
      throw new Error('a request that no origin may serve was routed to them');
    }
    return originRequest;
  }

  #noteRoute(bound: BoundRequest): void {
    const { entry, fallbackReason, plan } = bound;
    this.#job.meter.routed({
      servedModel: entry.id,
      tier: entry.tier,
      fallbackReason,
      promptTokens: plan === null ? estimatePromptTokens(bound.request.body) : plan.numPromptTokens,
      isEstimated: plan === null,
    });
  }

  #current(): BoundRequest {
    if (this.#bound === null) {
      throw new Error('a request is prepared before it runs');
    }
    return this.#bound;
  }

  #markSettled(): void {
    this.#isSettled = true;
    this.#settle();
  }
}

async function* single(answer: Promise<string>): AsyncGenerator<string, void, undefined> {
  yield await answer;
}
