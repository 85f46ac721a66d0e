/**
 * Whether an origin is worth a request. cockatiel keeps the states and counts the outcomes; the time that a breaker
 * stays open is kept here, on the injected clock, and so is the rule that one request at a time tries an open one:
 * cockatiel would let the others wait for the first, in Workers across requests.
 */
import {
  circuitBreaker,
  CircuitState,
  ConsecutiveBreaker,
  CountBreaker,
  handleType,
  type CircuitBreakerPolicy,
  type IBreaker,
} from 'cockatiel';

export interface BreakerLimits {
  /** Failures in a row that open it: an origin that is gone is known after three requests. */
  readonly failuresInRow: number;
  /** Or this share of the last outcomes, when there are enough of them. */
  readonly failureRatio: number;
  readonly samples: number;
  readonly samplesMin: number;
  /** How long it stays open: the first time, and each time that the trial failed; the last goes on. */
  readonly openMs: readonly [number, ...number[]];
  /** A trial that has not reported by then never will: the runtime has torn its request down. */
  readonly trialMsMax: number;
}

export const DEFAULT_BREAKER: BreakerLimits = {
  failuresInRow: 3,
  failureRatio: 0.5,
  samples: 20,
  samplesMin: 10,
  openMs: [2_000, 5_000, 10_000, 30_000],
  trialMsMax: 120_000,
};

/** What became of an attempt. `unknown`: the client left before the origin had shown anything. */
export type Outcome = 'success' | 'failure' | 'unknown';

/** How an attempt reports, once. */
export type Report = (outcome: Outcome) => void;

class AttemptFailed extends Error {}
class AttemptUnknown extends Error {}

export class OriginBreaker {
  readonly #nowMs: () => number;
  readonly #limits: BreakerLimits;
  #policy: CircuitBreakerPolicy;
  #openUntilMs = 0;
  #timesOpened = 0;
  #trialUntilMs = 0;

  readonly #onOpen: () => void;

  /** @param onOpen told each time that it opens. */
  constructor(nowMs: () => number, onOpen: () => void = () => {}, limits: BreakerLimits = DEFAULT_BREAKER) {
    this.#nowMs = nowMs;
    this.#onOpen = onOpen;
    this.#limits = limits;
    this.#policy = this.#createPolicy();
  }

  get state(): 'closed' | 'open' | 'half_open' {
    const { state } = this.#policy;
    return state === CircuitState.Closed ? 'closed' : state === CircuitState.HalfOpen ? 'half_open' : 'open';
  }

  /** Time until a request may be sent; 0 when it may now. */
  get waitMs(): number {
    const { state } = this;
    const untilMs = state === 'closed' ? 0 : state === 'open' ? this.#openUntilMs : this.#trialUntilMs;
    return Math.max(0, untilMs - this.#nowMs());
  }

  /** Begins an attempt; only while `waitMs` is 0. */
  begin(): Report {
    if (this.state === 'half_open') {
      // The trial is lost. What is restored from a breaker on trial is an open one.
      this.#policy = this.#createPolicy(this.#policy.toJSON());
    }
    const isTrial = this.state === 'open';
    if (isTrial) {
      this.#trialUntilMs = this.#nowMs() + this.#limits.trialMsMax;
    }
    const policy = this.#policy;
    let settle: Report = () => {};
    const outcome = new Promise<void>((resolve, reject) => {
      settle = (result) => {
        if (result === 'success') {
          resolve();
        } else {
          // Nothing seen of an origin that is on trial is no reason to trust it.
          reject(result === 'failure' || isTrial ? new AttemptFailed() : new AttemptUnknown());
        }
      };
    });
    policy.execute(() => outcome).catch(() => {});
    return settle;
  }

  /** A request failed that had begun well: the origin died under it. */
  sawCut(): void {
    if (this.state === 'closed') {
      this.begin()('failure');
    }
  }

  #createPolicy(initialState?: unknown): CircuitBreakerPolicy {
    const { failuresInRow, failureRatio, samples, samplesMin, openMs } = this.#limits;
    const policy = circuitBreaker(handleType(AttemptFailed), {
      // `waitMs` keeps the time.
      halfOpenAfter: 0,
      initialState,
      breaker: new EitherBreaker(
        new ConsecutiveBreaker(failuresInRow),
        new CountBreaker({ threshold: failureRatio, size: samples, minimumNumberOfCalls: samplesMin }),
      ),
    });
    policy.onBreak(() => {
      const durationMs = openMs[Math.min(this.#timesOpened, openMs.length - 1)] ?? openMs[0];
      this.#openUntilMs = this.#nowMs() + durationMs;
      this.#timesOpened++;
      this.#onOpen();
    });
    policy.onReset(() => {
      this.#timesOpened = 0;
    });
    return policy;
  }
}

/** Opens when one of the two would. */
class EitherBreaker implements IBreaker {
  readonly #breakers: readonly [IBreaker, IBreaker];

  constructor(first: IBreaker, second: IBreaker) {
    this.#breakers = [first, second];
  }

  get state(): unknown {
    return this.#breakers.map((breaker) => breaker.state);
  }

  set state(value: unknown) {
    const [first, second] = value as [unknown, unknown];
    this.#breakers[0].state = first;
    this.#breakers[1].state = second;
  }

  success(state: CircuitState): void {
    this.#breakers.forEach((breaker) => breaker.success(state));
  }

  failure(state: CircuitState): boolean {
    // Both count, whichever opens.
    return this.#breakers.map((breaker) => breaker.failure(state)).includes(true);
  }
}
