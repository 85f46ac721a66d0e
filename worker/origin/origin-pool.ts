/** The configured origins as one backend: who gets a request, what happens when that one fails, and what it cost. */
import type { Clock } from '../../shards/platform/clock.ts';
import { sleepUnlessAborted } from '../generation/abort.ts';
import type { Capability } from '../routing/capabilities.ts';
import { AttemptFailedError, callOnce, openAnswer, type Attempt } from './attempt.ts';
import { createChunkTransform } from './chat-transform.ts';
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
import type { Report } from './origin-breaker.ts';
import { canServe, configuredModels, pickOrigin, type Picked } from './origin-pick.ts';
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

  constructor(deps: OriginPoolDeps) {
    this.#deps = deps;
    this.#budget = new RetryBudget(() => deps.clock.nowMs());
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
    const { value: answer, origin, servedBy, picked } = await this.#serve(request, signal, openAnswer);
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
    const { value, servedBy, picked } = await this.#serve(request, signal, callOnce);
    picked.lease.release();
    return { servedBy, body: { ...value, model: request.model }, usage: readUsage(value['usage']) };
  }

  health(): readonly OriginHealth[] {
    return this.#deps.origins.map((origin) => origin.health);
  }

  async probe(): Promise<void> {
    await Promise.all(this.#deps.origins.map((origin) => probeOrigin(origin, this.#deps.clock)));
  }

  /** Calls one origin after another until one answers, within the attempts, the budget and the time. */
  async #serve<Operation extends OriginOperation, T>(
    request: OriginRequest<Operation>,
    signal: AbortSignal,
    run: (attempt: Attempt<Operation>) => Promise<T>,
  ): Promise<Served<T>> {
    const { clock, random, origins } = this.#deps;
    const deadlines = { ...DEFAULT_DEADLINES, ...request.deadlines };
    const endMs = clock.nowMs() + deadlines.totalMs;
    const tried = new Set<Origin>();
    let lastError: OriginError | null = null;
    this.#budget.countRequest();
    for (let attempts = 1; ; attempts++) {
      const picked = await pickOrigin({ origins, request, tried, endMs, clock, random, signal });
      if (picked instanceof OriginError) {
        // What an origin said tells more than that no other is left.
        throw lastError ?? picked;
      }
      const { origin, model, report } = picked;
      const startMs = clock.nowMs();
      origin.sawRequest();
      try {
        const value = await run({ origin, model, request, deadlines, remainingMs: endMs - startMs, clock, signal });
        report('success');
        origin.sawContent(clock.nowMs() - startMs);
        return { value, origin, picked, servedBy: { originId: origin.id, upstreamModel: model.upstream, attempts } };
      } catch (error) {
        picked.lease.release();
        const failed = this.#settle(error, origin, report, attempts);
        const isLast = attempts >= ATTEMPTS_MAX || clock.nowMs() >= endMs || signal.aborted;
        tried.add(origin);
        lastError = failed.error;
        if (isLast || !failed.isWorthRetry || !this.#budget.tryRetry()) {
          throw lastError;
        }
        if (
          origins.every((other) => tried.has(other) || other.waitMs > 0 || other.model(request.model) === undefined)
        ) {
          await sleepUnlessAborted(clock, SAME_ORIGIN_PAUSE_MS * (0.5 + random() / 2), signal);
        }
      }
    }
  }

  /** Reports the failure. @throws what is no failure of the origin. */
  #settle(
    error: unknown,
    origin: Origin,
    report: Report,
    attempts: number,
  ): { readonly error: OriginError; readonly isWorthRetry: boolean } {
    if (!(error instanceof AttemptFailedError)) {
      report('unknown');
      throw error;
    }
    const { isOriginsFault, isWorthRetry, error: cause } = error.failure;
    // A refusal with reasons comes from an engine that works.
    report(isOriginsFault ? 'failure' : 'success');
    if (isOriginsFault) {
      origin.sawFailure(cause.message);
    }
    if (cause.code === 'overloaded' || cause.retryAfterMs !== null) {
      origin.sawBusy(cause.retryAfterMs);
    }
    const { code, message, status, retryable } = cause;
    const retryAfterMs = cause.retryAfterMs ?? (code === 'overloaded' ? origin.busyMs : null);
    return {
      error: new OriginError(code, message, { status, retryable, retryAfterMs, attempts, cause }),
      isWorthRetry,
    };
  }
}
