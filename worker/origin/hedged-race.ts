/** A call and, when it is late, a second one beside it: the first to answer wins, the other is cancelled. */
import type { Clock } from '../../shards/platform/clock.ts';
import type { Failure } from './upstream-failure.ts';

export type Outcome<T> =
  | { readonly type: 'answered'; readonly value: T }
  | ({ readonly type: 'failed' } & Failure)
  /** The client has left, or something failed that no origin is to blame for. */
  | { readonly type: 'gone'; readonly error: unknown };

export interface Call<T> {
  /** Never rejects. */
  readonly outcome: Promise<Outcome<T>>;
  /** Ends it, and gives back what it holds, an answer that comes all the same included. */
  cancel(): void;
}

export interface Hedge<C> {
  readonly delayMs: number;
  /** @returns null when there is to be no second call. */
  start(): C | null;
}

/** What decided the race: an answer, a failure that a further call would meet again, or the last failure. */
export interface Decision<T, C> {
  readonly call: C;
  readonly outcome: Outcome<T>;
}

/** Nothing runs any more when it resolves but an answer. */
export async function raceWithHedge<T, C extends Call<T>>(
  first: C,
  hedge: Hedge<C> | null,
  clock: Clock,
): Promise<Decision<T, C>> {
  if (hedge === null) {
    return { call: first, outcome: await first.outcome };
  }
  const running = new Set<C>();
  let decide: (decision: Decision<T, C>) => void = () => {};
  const decided = new Promise<Decision<T, C>>((resolve) => {
    decide = resolve;
  });
  const watch = async (call: C): Promise<void> => {
    running.add(call);
    const outcome = await call.outcome;
    running.delete(call);
    if (outcome.type === 'failed' && outcome.isWorthRetry && running.size > 0) {
      return;
    }
    decide({ call, outcome });
    // At once: another that has answered in the same moment is still among them.
    running.forEach((other) => other.cancel());
    running.clear();
  };
  void watch(first);
  const timer = clock.startTimer(hedge.delayMs, () => {
    const second = hedge.start();
    if (second !== null) {
      void watch(second);
    }
  });
  const decision = await decided;
  timer.cancel();
  return decision;
}
