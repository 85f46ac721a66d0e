/** The configured origins as one backend: who gets a request, what happens when that one fails, and what it cost. */
import type { Clock } from '../../shards/platform/clock.ts';
import { sleepUnlessAborted } from '../../shards/client/abort.ts';
import type { Capability } from '../routing/capabilities.ts';
import { AttemptFailedError, callOnce, openAnswer, type Attempt } from './attempt.ts';
import { createChunkTransform } from './chat-transform.ts';
import { FirstTokenTimes } from './hedge.ts';
import { type Hedge, raceWithHedge } from './hedged-race.ts';
import {
  OriginError,
  type CalledOperation,
  type CallResult,
  type CanServe,
  type OriginBackend,
  type OriginEvent,
  type OriginHealth,
  type OriginModel,
  type OriginOperation,
  type OriginRequest,
  type ServedBy,
  type StreamedOperation,
} from './origin-backend.ts';
import { errorAfter, type PoolCall, startCall } from './origin-call.ts';
import { canServe, configuredModels, pickHedge, pickOrigin, type Picked } from './origin-pick.ts';
import { probeOrigin } from './origin-probe.ts';
import { DEFAULT_DEADLINES, type Origin } from './origin.ts';
import { RetryBudget } from './retry-budget.ts';
import { readUsage } from './upstream-answer.ts';

/** Calls to origins for one request: a first one and two more. */
export const ATTEMPTS_MAX = 3;

/** Pause before the same origin is called again, when there is no other: this at most, half of it at least. */
const SAME_ORIGIN_PAUSE_MS = 200;

export interface OriginPoolDeps {
  readonly origins: readonly Origin[];
  readonly clock: Clock;
  /** Uniform in [0, 1). */
  readonly random: () => number;
}

/** A request that an origin has begun to answer. */
interface Served<T> {
  readonly value: T;
  readonly origin: Origin;
  readonly servedBy: ServedBy;
  readonly picked: Picked;
}

export function createOriginPool(deps: OriginPoolDeps): OriginBackend {
  return new OriginPool(deps);
}

class OriginPool implements OriginBackend {
  readonly #deps: OriginPoolDeps;
  readonly #budget: RetryBudget;
  readonly #firstTokenTimes: FirstTokenTimes;

  constructor(deps: OriginPoolDeps) {
    this.#deps = deps;
    this.#budget = new RetryBudget(() => deps.clock.nowMs());
    this.#firstTokenTimes = new FirstTokenTimes(() => deps.clock.nowMs());
  }

  models(): readonly OriginModel[] {
    return configuredModels(this.#deps.origins);
  }

  canServe(model: string, needs: ReadonlySet<Capability>, numTokensAtLeast: number): CanServe {
    return canServe(this.#deps.origins, model, needs, numTokensAtLeast);
  }

  async *stream(
    request: OriginRequest<StreamedOperation>,
    signal: AbortSignal,
  ): AsyncGenerator<OriginEvent, void, undefined> {
    const {
      value: answer,
      origin,
      servedBy,
      picked,
    } = await this.#serve(request, signal, openAnswer, (late) => late.abort());
    try {
      const transform = createChunkTransform(picked.model, request);
      yield { type: 'served_by', ...servedBy };
      for await (const { chunk, completionTokens } of answer.pieces) {
        const data = transform.apply({ ...chunk, model: request.model });
        if (data !== null) {
          yield { type: 'chunk', data, completionTokens };
        }
      }
      yield { type: 'end', usage: answer.reader.usage };
    } catch (error) {
      if (!(error instanceof AttemptFailedError)) {
        throw error;
      }
      origin.sawFailure(error.message);
      origin.breaker.sawCut();
      throw new OriginError('cut', `The answer was cut off. ${error.message}`, {
        attempts: servedBy.attempts,
        tokensSent: answer.reader.completionTokens,
        cause: error,
      });
    } finally {
      answer.abort();
      picked.lease.release();
    }
  }

  async call(request: OriginRequest<CalledOperation>, signal: AbortSignal): Promise<CallResult> {
    const { value, servedBy, picked } = await this.#serve(request, signal, callOnce, null);
    picked.lease.release();
    return { servedBy, body: { ...value, model: request.model }, usage: readUsage(value['usage']) };
  }

  health(): readonly OriginHealth[] {
    return this.#deps.origins.map((origin) => origin.health);
  }

  async probe(): Promise<void> {
    await Promise.all(this.#deps.origins.map((origin) => probeOrigin(origin, this.#deps.clock)));
  }

  /**
   * Calls one origin after another until one answers, within the attempts, the budget and the time.
   * @param discard ends an answer that another one has come before; null where there may be no second call.
   */
  async #serve<Operation extends OriginOperation, T>(
    request: OriginRequest<Operation>,
    signal: AbortSignal,
    run: (attempt: Attempt<Operation>) => Promise<T>,
    discard: ((value: T) => void) | null,
  ): Promise<Served<T>> {
    const { clock, random, origins } = this.#deps;
    const deadlines = { ...DEFAULT_DEADLINES, ...request.deadlines };
    const endMs = clock.nowMs() + deadlines.totalMs;
    const tried = new Set<Origin>();
    let attempts = 0;
    let lastError: OriginError | null = null;
    const start = (picked: Picked): PoolCall<T> => {
      attempts++;
      tried.add(picked.origin);
      const attempt = { request, deadlines, remainingMs: endMs - clock.nowMs(), clock, signal };
      return startCall(picked, attempt, { run, discard, times: this.#firstTokenTimes });
    };
    this.#budget.countRequest();
    for (;;) {
      const picked = await pickOrigin({ origins, request, tried, endMs, clock, random, signal });
      if (picked instanceof OriginError) {
        // What an origin said tells more than that no other is left.
        throw lastError ?? picked;
      }
      // A request that is tried again has found its other origin.
      const hedge = discard === null || attempts > 0 ? null : this.#hedgeOf(picked, request, start);
      const { call, outcome } = await raceWithHedge<T, PoolCall<T>>(start(picked), hedge, clock);
      if (outcome.type === 'answered') {
        const { origin, model } = call.picked;
        const servedBy = { originId: origin.id, upstreamModel: model.upstream, attempts };
        return { value: outcome.value, origin, picked: call.picked, servedBy };
      }
      if (outcome.type === 'gone') {
        throw outcome.error;
      }
      lastError = errorAfter(outcome.error, call.picked.origin, attempts);
      const isLast = attempts >= ATTEMPTS_MAX || clock.nowMs() >= endMs || signal.aborted;
      if (isLast || !outcome.isWorthRetry || !this.#budget.tryRetry()) {
        throw lastError;
      }
      if (origins.every((other) => tried.has(other) || other.waitMs > 0 || other.model(request.model) === undefined)) {
        await sleepUnlessAborted(clock, SAME_ORIGIN_PAUSE_MS * (0.5 + random() / 2), signal);
      }
    }
  }

  /** When and how a second call joins one to `first`; null when none will. */
  #hedgeOf<T>(
    first: Picked,
    request: OriginRequest,
    start: (picked: Picked) => PoolCall<T>,
  ): Hedge<PoolCall<T>> | null {
    // What a breaker's trial shows is worth waiting for.
    const mayHedge = first.model.hedging.enabled && first.origin.breaker.state === 'closed';
    const delayMs = mayHedge ? this.#firstTokenTimes.hedgeDelayMs(request.model) : null;
    if (delayMs === null) {
      return null;
    }
    return {
      delayMs,
      start: () => {
        const second = pickHedge(first.origin, { ...this.#deps, request }, () => this.#budget.tryRetry());
        second?.origin.sawHedge();
        return second === null ? null : start(second);
      },
    };
  }
}
