/**
 * How many attempts may be second ones. When all origins fail, retries multiply the load that made them fail; a budget
 * in proportion to the traffic bounds that.
 */

export interface RetryBudgetLimits {
  /** Retries for each request of the window: Finagle's default. */
  readonly ratio: number;
  /** Retries a second that are always allowed: an origin that dies under fifty streams may cost each of them one. */
  readonly floorPerSecond: number;
  readonly windowSeconds: number;
}

export const DEFAULT_RETRY_BUDGET: RetryBudgetLimits = { ratio: 0.2, floorPerSecond: 10, windowSeconds: 10 };

interface Second {
  readonly second: number;
  requests: number;
  retries: number;
}

export class RetryBudget {
  readonly #limits: RetryBudgetLimits;
  readonly #nowMs: () => number;
  #seconds: Second[] = [];

  constructor(nowMs: () => number, limits: RetryBudgetLimits = DEFAULT_RETRY_BUDGET) {
    this.#nowMs = nowMs;
    this.#limits = limits;
  }

  countRequest(): void {
    this.#current().requests++;
  }

  /** @returns whether a retry may be made; if so it is counted. */
  tryRetry(): boolean {
    const current = this.#current();
    const { ratio, floorPerSecond, windowSeconds } = this.#limits;
    const sum = (field: 'requests' | 'retries'): number =>
      this.#seconds.reduce((total, second) => total + second[field], 0);
    if (sum('retries') + 1 > ratio * sum('requests') + floorPerSecond * windowSeconds) {
      return false;
    }
    current.retries++;
    return true;
  }

  /** Forgets what has left the window. */
  #current(): Second {
    const second = Math.floor(this.#nowMs() / 1000);
    this.#seconds = this.#seconds.filter((entry) => entry.second > second - this.#limits.windowSeconds);
    const last = this.#seconds.at(-1);
    if (last?.second === second) {
      return last;
    }
    const fresh = { second, requests: 0, retries: 0 };
    this.#seconds.push(fresh);
    return fresh;
  }
}
