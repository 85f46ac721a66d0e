/** A clock that stands still until a test winds it. */
import type { Clock, Timer } from '../../shards/platform/clock.ts';

interface PendingTimer {
  readonly dueMs: number;
  readonly callback: () => void;
}

export class ManualClock implements Clock {
  #nowMs = 0;
  readonly #timers = new Set<PendingTimer>();

  nowMs(): number {
    return this.#nowMs;
  }

  startTimer(delayMs: number, callback: () => void): Timer {
    const timer = { dueMs: this.#nowMs + delayMs, callback };
    this.#timers.add(timer);
    return { cancel: () => void this.#timers.delete(timer) };
  }

  yieldToEvents(): Promise<void> {
    return settled();
  }

  get numTimers(): number {
    return this.#timers.size;
  }

  /** Lets `durationMs` go by; timers fire in order, and what they started settles before the next one. */
  async wind(durationMs: number): Promise<void> {
    const endMs = this.#nowMs + durationMs;
    await settled();
    for (;;) {
      const due = [...this.#timers].filter((timer) => timer.dueMs <= endMs).sort((a, b) => a.dueMs - b.dueMs)[0];
      if (due === undefined) {
        break;
      }
      this.#timers.delete(due);
      this.#nowMs = due.dueMs;
      due.callback();
      await settled();
    }
    this.#nowMs = endMs;
  }
}

/** Streams take several turns of the event loop to hand a chunk through; this many are plenty. */
const NUM_TURNS = 20;

export async function settled(): Promise<void> {
  for (let turn = 0; turn < NUM_TURNS; turn++) {
    await new Promise((resolve) => {
      setImmediate(resolve);
    });
  }
}
