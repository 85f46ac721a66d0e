/**
 * Notices the step that is not back in time. One timer is wound again for the rest of the time instead of one for each step:
 * to set and to clear one takes about as long as to encode a frame.
 */
import type { Clock, Timer } from '../platform/clock.ts';

export class StepWatch {
  readonly #clock: Clock;
  readonly #onLate: (stepId: number) => void;
  /** When each step that is on its way is due. */
  readonly #dueMs = new Map<number, number>();
  /** Fires at the first due time or before it. */
  #timer: { readonly timer: Timer; readonly dueMs: number } | null = null;

  /** @param onLate called once, with the step that was due first; the watch has ended then */
  constructor(clock: Clock, onLate: (stepId: number) => void) {
    this.#clock = clock;
    this.#onLate = onLate;
  }

  /** A step leaves. @param nowMs of the same clock */
  add(stepId: number, nowMs: number, deadlineMs: number): void {
    const dueMs = nowMs + deadlineMs;
    this.#dueMs.set(stepId, dueMs);
    if (this.#timer === null || dueMs < this.#timer.dueMs) {
      this.#wind(nowMs, dueMs);
    }
  }

  /** A step is back. */
  remove(stepId: number): void {
    this.#dueMs.delete(stepId);
  }

  /** Nobody waits any more. */
  end(): void {
    this.#dueMs.clear();
    this.#timer?.timer.cancel();
    this.#timer = null;
  }

  #wind(nowMs: number, dueMs: number): void {
    this.#timer?.timer.cancel();
    this.#timer = { timer: this.#clock.startTimer(dueMs - nowMs, () => this.#look()), dueMs };
  }

  #look(): void {
    this.#timer = null;
    const nowMs = this.#clock.nowMs();
    let first: { readonly stepId: number; readonly dueMs: number } | null = null;
    for (const [stepId, dueMs] of this.#dueMs) {
      if (first === null || dueMs < first.dueMs) {
        first = { stepId, dueMs };
      }
    }
    if (first === null) {
      return;
    }
    if (first.dueMs > nowMs) {
      this.#wind(nowMs, first.dueMs);
      return;
    }
    this.end();
    this.#onLate(first.stepId);
  }
}
