/** One call of the pool: it runs in a slot, can be cancelled, and what becomes of it is told to the origin. */
import { AttemptFailedError, type Attempt } from './attempt.ts';
import type { FirstTokenTimes } from './hedge.ts';
import type { Call, Outcome } from './hedged-race.ts';
import { OriginError, type OriginOperation } from './origin-backend.ts';
import type { Report } from './origin-breaker.ts';
import type { Picked } from './origin-pick.ts';
import type { Origin } from './origin.ts';

/** A call to an origin, with the place that it has there. */
export interface PoolCall<T> extends Call<T> {
  readonly picked: Picked;
}

export interface CallOptions<Operation extends OriginOperation, T> {
  readonly run: (attempt: Attempt<Operation>) => Promise<T>;
  /** Ends an answer that another one has come before; null where answers have no first token. */
  readonly discard: ((value: T) => void) | null;
  readonly times: FirstTokenTimes;
}

/** The slot is given back unless it answers. */
export function startCall<Operation extends OriginOperation, T>(
  picked: Picked,
  attempt: Omit<Attempt<Operation>, 'origin' | 'model'>,
  { run, discard, times }: CallOptions<Operation, T>,
): PoolCall<T> {
  const { origin, model, lease, report } = picked;
  const { clock } = attempt;
  const cancelled = new AbortController();
  const signal = AbortSignal.any([attempt.signal, cancelled.signal]);
  const startMs = clock.nowMs();
  const finish = async (): Promise<Outcome<T>> => {
    try {
      const value = await run({ ...attempt, origin, model, signal });
      report('success');
      const ttftMs = clock.nowMs() - startMs;
      origin.sawContent(ttftMs);
      if (discard !== null) {
        times.saw(model.public, ttftMs);
      }
      return { type: 'answered', value };
    } catch (error) {
      lease.release();
      return settle(error, origin, report);
    }
  };
  origin.sawRequest();
  const outcome = finish();
  const discardLate = async (): Promise<void> => {
    const late = await outcome;
    if (late.type === 'answered') {
      discard?.(late.value);
    }
  };
  const cancel = (): void => {
    times.gaveUp(model.public, clock.nowMs() - startMs);
    cancelled.abort();
    lease.release();
    void discardLate();
  };
  return { picked, outcome, cancel };
}

/** Reports what was thrown. */
function settle(error: unknown, origin: Origin, report: Report): Outcome<never> {
  if (!(error instanceof AttemptFailedError)) {
    report('unknown');
    return { type: 'gone', error };
  }
  const { isOriginsFault, error: cause } = error.failure;
  // A refusal with reasons comes from an engine that works.
  report(isOriginsFault ? 'failure' : 'success');
  if (isOriginsFault) {
    origin.sawFailure(cause.message);
  }
  if (cause.code === 'overloaded' || cause.retryAfterMs !== null) {
    origin.sawBusy(cause.retryAfterMs);
  }
  return { type: 'failed', ...error.failure };
}

/** The failure of a request whose last call failed so. */
export function errorAfter(cause: OriginError, origin: Origin, attempts: number): OriginError {
  const { code, message, status, retryable } = cause;
  const retryAfterMs = cause.retryAfterMs ?? (code === 'overloaded' ? origin.busyMs : null);
  return new OriginError(code, message, { status, retryable, retryAfterMs, attempts, cause });
}
