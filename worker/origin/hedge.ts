/**
 * Whether and when a second origin is asked beside one whose first token is late. Pure: clock and loads are passed in.
 * A hedge doubles the prefill of its request, so it is rare by construction: later than nearly all answers, only where
 * there is room, and paid for by the retry budget.
 */
import type { OriginModelConfig } from './origin-config.ts';

/** Times of one model that count: enough for the 95th percentile to stand on ten of them, few enough to sort at each request. */
export const TTFT_SAMPLES_MAX = 200;

/** With fewer, the 95th percentile would be the slowest of them, or a guess. */
export const TTFT_SAMPLES_MIN = 20;

/** Older times say nothing of the load now. */
export const TTFT_AGE_MS_MAX = 600_000;

const HEDGE_PERCENTILE = 0.95;

/** An answer that is usually there sooner is not worth a second prefill. */
export const HEDGE_DELAY_MS_MIN = 50;

/** The second origin must be no busier than this share of its `concurrency`: it has its own requests to answer in time. */
const HEDGE_LOAD_SHARE_MAX = 0.5;

interface Sample {
  readonly atMs: number;
  readonly ttftMs: number;
}

/** Late times to the first token of each model, whichever origin gave it. */
export class FirstTokenTimes {
  readonly #nowMs: () => number;
  readonly #samples = new Map<string, Sample[]>();

  constructor(nowMs: () => number) {
    this.#nowMs = nowMs;
  }

  saw(model: string, ttftMs: number): void {
    const samples = [...this.#fresh(model), { atMs: this.#nowMs(), ttftMs }];
    this.#samples.set(model, samples.slice(-TTFT_SAMPLES_MAX));
  }

  /**
   * A call was given up after `waitedMs`. Left out, the slowest calls would be missing and the delay would become shorter
   * and shorter; but one that was given up early may have been fast.
   */
  gaveUp(model: string, waitedMs: number): void {
    if (waitedMs >= (this.hedgeDelayMs(model) ?? Number.POSITIVE_INFINITY)) {
      this.saw(model, waitedMs);
    }
  }

  /** How long a first token is waited for before another origin is asked; null while too little is known. */
  hedgeDelayMs(model: string): number | null {
    const times = this.#fresh(model).map(({ ttftMs }) => ttftMs);
    if (times.length < TTFT_SAMPLES_MIN) {
      return null;
    }
    times.sort((a, b) => a - b);
    return Math.max(HEDGE_DELAY_MS_MIN, times[Math.ceil(HEDGE_PERCENTILE * times.length) - 1] as number);
  }

  #fresh(model: string): readonly Sample[] {
    const oldestMs = this.#nowMs() - TTFT_AGE_MS_MAX;
    return (this.#samples.get(model) ?? []).filter(({ atMs }) => atMs > oldestMs);
  }
}

/** What an `Origin` shows of itself here. */
export interface HedgeCandidate {
  /** Time until it may be tried. */
  readonly waitMs: number;
  /** Requests that run or wait there. */
  readonly load: number;
  readonly breaker: { readonly state: 'closed' | 'open' | 'half_open' };
  readonly slots: { readonly hasFreeSlot: boolean };
  readonly config: { readonly concurrency: number };
}

/** Whether an origin may be asked second, its capabilities aside. */
export function mayHedge(
  { waitMs, load, breaker, slots, config }: HedgeCandidate,
  model: Pick<OriginModelConfig, 'hedging' | 'contextLength'> | undefined,
  promptTokens: number,
): boolean {
  return (
    model !== undefined &&
    model.hedging.enabled &&
    promptTokens <= (model.contextLength ?? Number.POSITIVE_INFINITY) &&
    waitMs === 0 &&
    breaker.state === 'closed' &&
    slots.hasFreeSlot &&
    load < HEDGE_LOAD_SHARE_MAX * config.concurrency
  );
}
