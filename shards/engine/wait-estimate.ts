/** How long a queue will take, from the work that waits in it and the rate at which work has been done. */
import type { Clock } from '../platform/clock.ts';

/** Earlier measurements count less, halved about every 20 seconds of work: prompts and answers change over the day. */
const RATE_MEMORY_MS = 30_000;

/** Steps that are further apart have had nothing to do between them, or a ring that was broken. */
const STEP_GAP_MS_MAX = 5_000;

/** Until answers have been measured: most are shorter than what they may have. */
const OUTPUT_TOKENS_FIRST = 128;

/** Of the mean length of answers: the last some tens count. */
const OUTPUT_TOKENS_MEMORY = 32;

/** Before that no client should come back; later than this it need not, since nobody knows so far ahead. */
export const RETRY_AFTER_MS_MIN = 1_000;
export const RETRY_AFTER_MS_MAX = 60_000;

export class WaitEstimate {
  readonly #clock: Clock;
  #work = 0;
  #workMs = 0;
  #lastStepMs = -Infinity;
  #meanOutputTokens = OUTPUT_TOKENS_FIRST;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** A step came back. @param work that it did, in the costs of the waiting queue */
  noteStep(work: number): void {
    const nowMs = this.#clock.nowMs();
    const gapMs = nowMs - this.#lastStepMs;
    this.#lastStepMs = nowMs;
    if (gapMs > STEP_GAP_MS_MAX) {
      return;
    }
    const kept = Math.exp(-gapMs / RATE_MEMORY_MS);
    this.#work = this.#work * kept + work;
    this.#workMs = this.#workMs * kept + gapMs;
  }

  /** A sequence ended by itself. */
  noteAnswer(numOutputTokens: number): void {
    this.#meanOutputTokens += (numOutputTokens - this.#meanOutputTokens) / OUTPUT_TOKENS_MEMORY;
  }

  /** Tokens that an answer of at most `numTokensMax` will probably have. */
  outputTokens(numTokensMax: number): number {
    return Math.min(numTokensMax, this.#meanOutputTokens);
  }

  /** When `work` will be done, within `RETRY_AFTER_MS_MIN` and `RETRY_AFTER_MS_MAX`. */
  waitMs(work: number): number {
    const isMeasured = this.#work > 0 && this.#workMs > 0;
    const waitMs = isMeasured ? (work * this.#workMs) / this.#work : RETRY_AFTER_MS_MIN;
    return Math.min(RETRY_AFTER_MS_MAX, Math.max(RETRY_AFTER_MS_MIN, Math.ceil(waitMs)));
  }
}
