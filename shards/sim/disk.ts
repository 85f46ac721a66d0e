/**
 * What a stage's store lies on in a simulation. A write is visible at once and durable later; a kill takes away what is
 * not durable yet, and may leave the row that is being written torn.
 */
import type { EventQueue } from './event-queue.ts';
import type { Random } from './random.ts';

export interface DiskOptions {
  readonly name: string;
  readonly events: EventQueue;
  readonly random: Random;
  /** Until a write is durable, on average. */
  readonly flushMs: number;
}

export class SimDisk {
  /** No write takes effect while it is. */
  isFull = false;
  readonly #options: DiskOptions;
  readonly #durable = new Map<string, Uint8Array>();
  /** Null is a deletion. In the order in which they were written. */
  readonly #pending = new Map<string, Uint8Array | null>();
  #isFlushScheduled = false;
  #isTearing = false;

  constructor(options: DiskOptions) {
    this.#options = options;
  }

  get(key: string): Uint8Array | undefined {
    const pending = this.#pending.get(key);
    return pending === undefined ? this.#durable.get(key) : (pending ?? undefined);
  }

  /** @returns false when the disk is full. */
  put(key: string, bytes: Uint8Array): boolean {
    if (this.isFull) {
      return false;
    }
    this.#pending.delete(key);
    this.#pending.set(key, bytes.slice());
    this.#flushLater();
    return true;
  }

  delete(key: string): void {
    this.#pending.delete(key);
    this.#pending.set(key, null);
    this.#flushLater();
  }

  keys(): string[] {
    const keys = new Set(this.#durable.keys());
    for (const [key, bytes] of this.#pending) {
      if (bytes === null) {
        keys.delete(key);
      } else {
        keys.add(key);
      }
    }
    return [...keys];
  }

  /** The kill that comes next finds a write under way. @returns whether there is one. */
  tearNextWrite(): boolean {
    this.#isTearing = [...this.#pending.values()].some((bytes) => bytes !== null);
    return this.#isTearing;
  }

  /** The process is gone: what was not durable is lost, but for some first writes. */
  crash(): void {
    const numKept = this.#isTearing ? this.#options.random.between(0, this.#pending.size - 1) : 0;
    for (const [index, [key, bytes]] of [...this.#pending].entries()) {
      if (index < numKept) {
        this.#apply(key, bytes);
      } else if (index === numKept && this.#isTearing && bytes !== null) {
        this.#durable.set(key, this.#torn(bytes));
      }
    }
    this.#pending.clear();
    this.#isTearing = false;
  }

  /** A beginning that was written and an end that was not. */
  #torn(bytes: Uint8Array): Uint8Array {
    const torn = bytes.slice();
    torn.fill(0, this.#options.random.between(0, bytes.length - 1));
    return torn;
  }

  #flushLater(): void {
    if (this.#isFlushScheduled) {
      return;
    }
    this.#isFlushScheduled = true;
    const { events, random, flushMs, name } = this.#options;
    events.schedule(random.exponential(flushMs), `${name} flushes`, () => {
      this.#isFlushScheduled = false;
      for (const [key, bytes] of this.#pending) {
        this.#apply(key, bytes);
      }
      this.#pending.clear();
    });
  }

  #apply(key: string, bytes: Uint8Array | null): void {
    if (bytes === null) {
      this.#durable.delete(key);
    } else {
      this.#durable.set(key, bytes);
    }
  }
}
