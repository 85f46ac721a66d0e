/**
 * A stage's page store in a simulation, which outlives its isolate. A write can be read at once and is durable later: a
 * kill takes away what is not durable yet, and may leave the page that is being written damaged. Deletions and pins are
 * durable when they return, as the runtime makes them: an answer by RPC waits for what was written before it.
 */
import { MemoryPageStore } from '../platform/memory-page-store.ts';
import type { PageKey } from '../kv/page-key.ts';
import type { Clock } from '../platform/clock.ts';
import type { PageStore } from '../platform/page-store.ts';
import type { EventQueue } from './event-queue.ts';
import type { Random } from './random.ts';

export interface SimPageStoreOptions {
  readonly name: string;
  readonly events: EventQueue;
  readonly clock: Clock;
  readonly random: Random;
  /** Of all pages. */
  readonly bytesMax: number;
  /** Since the last use of a page. */
  readonly ttlMs: number;
  /** Until a write is durable, on average. */
  readonly flushMs: number;
}

export class SimPageStore implements PageStore {
  /** Writes are lost while it is. */
  isFull = false;
  /** Told once of the next write. */
  onNextWrite: (() => void) | null = null;
  readonly #options: SimPageStoreOptions;
  readonly #pages: MemoryPageStore;
  /** Everything that may be there, by name: the memory store does not tell. */
  readonly #keys = new Map<string, PageKey>();
  /** Not durable yet, in the order in which they were written. */
  readonly #pending = new Map<string, PageKey>();
  /** Pages that a kill damaged: what a checksum would find. */
  readonly #damaged = new Set<string>();
  #isFlushScheduled = false;

  constructor(options: SimPageStoreOptions) {
    this.#options = options;
    this.#pages = new MemoryPageStore(options);
  }

  get numPages(): number {
    return this.#pages.numPages;
  }

  /** Keys of a tenant's pages, damaged ones among them. */
  keysOf(tenant: string): PageKey[] {
    return [...this.#keys.values()].filter((key) => key.tenant === tenant && this.has(key));
  }

  has(key: PageKey): boolean {
    return this.#pages.has(key);
  }

  read(key: PageKey, into: Uint8Array): boolean {
    return this.#pages.read(key, into) && !this.#damaged.has(nameOf(key));
  }

  write(key: PageKey, bytes: Uint8Array): void {
    if (this.isFull) {
      return;
    }
    const name = nameOf(key);
    this.#pages.write(key, bytes);
    this.#keys.set(name, key);
    this.#damaged.delete(name);
    this.#pending.set(name, key);
    this.#flushLater();
    const onWrite = this.onNextWrite;
    this.onNextWrite = null;
    onWrite?.();
  }

  pin(keys: readonly PageKey[], untilMs: number | null): void {
    this.#pages.pin(keys, untilMs);
  }

  delete(keys: readonly PageKey[]): void {
    this.#pages.delete(keys);
    for (const key of keys) {
      this.#pending.delete(nameOf(key));
    }
  }

  deleteTenant(tenant: string): void {
    this.#pages.deleteTenant(tenant);
    for (const [name, key] of this.#keys) {
      if (key.tenant === tenant) {
        this.#keys.delete(name);
        this.#pending.delete(name);
      }
    }
  }

  /**
   * The isolate is gone: what was not durable is lost.
   * @param isTorn some first writes are there, and a part of another
   */
  crash(isTorn: boolean): void {
    const numKept = isTorn ? this.#options.random.between(0, this.#pending.size - 1) : 0;
    for (const [index, [name, key]] of [...this.#pending].entries()) {
      if (index === numKept && isTorn) {
        this.#damaged.add(name);
      } else if (index >= numKept) {
        this.#pages.delete([key]);
        this.#keys.delete(name);
      }
    }
    this.#pending.clear();
  }

  #flushLater(): void {
    if (!this.#isFlushScheduled) {
      const { events, random, flushMs, name } = this.#options;
      this.#isFlushScheduled = true;
      events.schedule(random.exponential(flushMs), `${name} has written`, () => {
        this.#isFlushScheduled = false;
        this.#pending.clear();
      });
    }
  }
}

function nameOf({ tenant, hash }: PageKey): string {
  return `${tenant}/${hash}`;
}
