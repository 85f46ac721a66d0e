/**
 * Signs of life for readers that have nothing else to read: a head that dies without a word is noticed by their absence.
 * How long a head may be silent only the head can know, since nothing happens in it while it computes a step. It watches
 * how late its own timer is, and says with each sign when the next one is due at the latest.
 */
import type { Clock } from '../platform/clock.ts';

/** Between two signs of life of a stream without events: some are lost in a busy moment before anybody worries. */
export const PULSE_MS = 2_000;

/**
 * Silence that says nothing yet. A step of 64 tokens keeps a head busy for tenths of a second; ten of these, a collection
 * of garbage and a move of its isolate have room in it.
 */
export const SILENCE_MS_MIN = 10_000;

/** However slow the head is: a client that hears nothing for so long is better off elsewhere. */
export const SILENCE_MS_MAX = 120_000;

/** The next block of work may be longer than the longest that was seen. */
const LATE_FACTOR = 4;

/** What was seen counts less with every pulse: half of it after five, some ten seconds. */
const LATE_DECAY = 7 / 8;

export class Pulse {
  readonly #clock: Clock;
  readonly #beat: () => boolean;
  #isRunning = false;
  /** How long the pulse has had to wait for other work lately, at the most. */
  #longestLateMs = 0;

  /** @param beat called every `PULSE_MS` while it says that somebody listens. */
  constructor(clock: Clock, beat: () => boolean) {
    this.#clock = clock;
    this.#beat = beat;
  }

  /** When the reader should have heard of this head again, in milliseconds from now. */
  get nextWithinMs(): number {
    const expectedMs = PULSE_MS + LATE_FACTOR * this.#longestLateMs;
    return Math.min(SILENCE_MS_MAX, Math.max(SILENCE_MS_MIN, Math.ceil(expectedMs)));
  }

  /** Somebody listens. Does nothing while it runs. */
  start(): void {
    if (!this.#isRunning) {
      this.#isRunning = true;
      this.#wait();
    }
  }

  #wait(): void {
    const dueMs = this.#clock.nowMs() + PULSE_MS;
    this.#clock.startTimer(PULSE_MS, () => {
      // Bounded, since a clock that is set looks like work.
      const lateMs = Math.min(SILENCE_MS_MAX / LATE_FACTOR, this.#clock.nowMs() - dueMs);
      this.#longestLateMs = Math.max(lateMs, this.#longestLateMs * LATE_DECAY);
      if (this.#beat()) {
        this.#wait();
      } else {
        this.#isRunning = false;
      }
    });
  }
}
