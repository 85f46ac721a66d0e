/**
 * Virtual time. Whatever happens later is an event here: timers, deliveries, writes that become durable, faults. Events
 * of the same moment happen in the order in which they were scheduled, and between two events everything that they set
 * off in promises has run to its end, so a run is the same each time.
 */
import type { Timer } from '../platform/clock.ts';
import type { Trace } from './trace.ts';

interface QueuedEvent {
  readonly atMs: number;
  readonly order: number;
  readonly label: string;
  callback: (() => void) | null;
}

export interface EventQueueOptions {
  readonly trace: Trace;
  /** Resolves once all promises that can resolve have done so: one turn of the real event loop. */
  readonly settle: () => Promise<void>;
}

export class EventQueue {
  readonly #options: EventQueueOptions;
  /** A binary heap. */
  readonly #heap: QueuedEvent[] = [];
  #nowMs = 0;
  #numScheduled = 0;

  constructor(options: EventQueueOptions) {
    this.#options = options;
  }

  get nowMs(): number {
    return this.#nowMs;
  }

  get size(): number {
    return this.#heap.length;
  }

  /** @param label goes into the trace */
  schedule(delayMs: number, label: string, callback: () => void): Timer {
    const event: QueuedEvent = {
      atMs: this.#nowMs + Math.max(0, delayMs),
      order: this.#numScheduled++,
      label,
      callback,
    };
    this.#push(event);
    return {
      cancel: () => {
        event.callback = null;
      },
    };
  }

  /** Runs events until `isDone`, `untilMs` or the end of all events, whatever is first. `afterEach` sees each moment settled. */
  async run(untilMs: number, isDone: () => boolean, afterEach: () => void): Promise<void> {
    await this.#options.settle();
    while (!isDone()) {
      const event = this.#heap[0];
      if (event === undefined || event.atMs > untilMs) {
        this.#nowMs = Math.max(this.#nowMs, event === undefined ? this.#nowMs : untilMs);
        return;
      }
      this.#pop();
      const { callback } = event;
      if (callback === null) {
        continue;
      }
      this.#nowMs = event.atMs;
      this.#options.trace.add(event.atMs, event.label);
      callback();
      await this.#options.settle();
      afterEach();
    }
  }

  #push(event: QueuedEvent): void {
    const heap = this.#heap;
    let at = heap.length;
    heap.push(event);
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (isBefore(heap[parent] as QueuedEvent, event)) {
        break;
      }
      heap[at] = heap[parent] as QueuedEvent;
      at = parent;
    }
    heap[at] = event;
  }

  #pop(): void {
    const heap = this.#heap;
    const event = heap.pop() as QueuedEvent;
    if (heap.length === 0) {
      return;
    }
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= heap.length) {
        break;
      }
      if (child + 1 < heap.length && isBefore(heap[child + 1] as QueuedEvent, heap[child] as QueuedEvent)) {
        child++;
      }
      if (isBefore(event, heap[child] as QueuedEvent)) {
        break;
      }
      heap[at] = heap[child] as QueuedEvent;
      at = child;
    }
    heap[at] = event;
  }
}

function isBefore(a: QueuedEvent, b: QueuedEvent): boolean {
  return a.atMs < b.atMs || (a.atMs === b.atMs && a.order < b.order);
}
