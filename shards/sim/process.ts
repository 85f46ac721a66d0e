/**
 * One isolate with its object, as far as time and death are concerned. It does one thing at a time, and what it computes
 * takes time during which nothing else of it happens. A killed process does nothing any more: its timers never fire, what
 * it sends goes nowhere, and whoever waits for it is told.
 */
import type { Clock, Timer } from '../platform/clock.ts';
import type { EventQueue } from './event-queue.ts';

interface InboxItem {
  readonly label: string;
  callback: (() => void) | null;
}

export class SimProcess implements Clock {
  readonly name: string;
  /** What its own clock shows beyond the true time. */
  clockOffsetMs = 0;
  /** Factor on everything that it computes. */
  slowness = 1;
  readonly #events: EventQueue;
  readonly #inbox: InboxItem[] = [];
  readonly #onKilled = new Set<(reason: string) => void>();
  #isDrainScheduled = false;
  #busyUntilMs = 0;
  #isAlive = true;

  constructor(name: string, events: EventQueue) {
    this.name = name;
    this.#events = events;
  }

  get isAlive(): boolean {
    return this.#isAlive;
  }

  /** True time from now until it has computed what it is computing. What it sends leaves then. */
  get busyMs(): number {
    return Math.max(0, this.#busyUntilMs - this.#events.nowMs);
  }

  /** Whole milliseconds, as both runtimes have them. */
  nowMs(): number {
    return Math.floor(this.#events.nowMs + this.clockOffsetMs);
  }

  startTimer(delayMs: number, callback: () => void): Timer {
    return this.deliver(this.busyMs + Math.max(1, Math.floor(delayMs)), 'timer', callback);
  }

  yieldToEvents(): Promise<void> {
    return new Promise((resolve) => {
      this.deliver(this.busyMs, 'yield', resolve);
    });
  }

  /** Lets something happen in this process after `delayMs`, as soon as it has time. */
  deliver(delayMs: number, label: string, callback: () => void): Timer {
    const item: InboxItem = { label, callback };
    const event = this.#events.schedule(delayMs, `${this.name} ${label}`, () => this.#arrive(item));
    return {
      cancel: () => {
        event.cancel();
        item.callback = null;
      },
    };
  }

  /** Computes for `ms` of true time, if it is not slow. */
  spend(ms: number): void {
    this.#busyUntilMs = this.#events.nowMs + this.busyMs + ms * this.slowness;
  }

  /** @returns a way to unsubscribe */
  onKilled(callback: (reason: string) => void): () => void {
    this.#onKilled.add(callback);
    return () => this.#onKilled.delete(callback);
  }

  kill(reason: string): void {
    this.#isAlive = false;
    this.#inbox.length = 0;
    const callbacks = [...this.#onKilled];
    this.#onKilled.clear();
    for (const callback of callbacks) {
      callback(reason);
    }
  }

  #arrive(item: InboxItem): void {
    if (!this.#isAlive) {
      return;
    }
    if (this.#inbox.length === 0 && this.busyMs === 0) {
      item.callback?.();
    } else {
      this.#inbox.push(item);
      this.#drainLater();
    }
  }

  #drainLater(): void {
    if (!this.#isDrainScheduled && this.#inbox.length > 0) {
      this.#isDrainScheduled = true;
      this.#events.schedule(this.busyMs, `${this.name} has time`, () => this.#drainOne());
    }
  }

  #drainOne(): void {
    this.#isDrainScheduled = false;
    if (!this.#isAlive) {
      return;
    }
    if (this.busyMs === 0) {
      // One at a time, so that what it sets off runs before the next.
      this.#inbox.shift()?.callback?.();
    }
    this.#drainLater();
  }
}
