/**
 * The storage of a stage's object in a simulation, which outlives its isolate: what `SqlitePageStore` stands on. A write
 * that does not wait to be confirmed can be read at once and is durable later; a kill takes away what is not durable yet.
 * One that is confirmed is durable when it returns, with everything that was written before it.
 */
import type { PageStorage } from '../platform/cloudflare/sqlite-page-store.ts';
import type { EventQueue } from './event-queue.ts';
import type { Random } from './random.ts';

export interface SimStorageOptions {
  readonly name: string;
  readonly events: EventQueue;
  readonly random: Random;
  /** Until a write is durable, on average. */
  readonly flushMs: number;
  /** Called at the time of the alarm. */
  readonly onAlarm: () => void;
}

type Rows = Map<string, unknown>;

export class SimStorage implements PageStorage {
  /** Writes fail while it is. */
  isFull = false;
  /** Told once of the next write. */
  onNextWrite: (() => void) | null = null;
  readonly #options: SimStorageOptions;
  readonly #durable: Rows = new Map();
  /** What the living see: durable rows and those that will be. */
  #visible: Rows = new Map();
  /** Not durable yet, in order: each is there whole or not at all. Undefined is a deletion. */
  #pending: Rows[] = [];
  #isFlushScheduled = false;

  readonly kv: PageStorage['kv'] = {
    // The reader may do with it what it likes, take its memory away for one.
    get: (key) => structuredClone(this.#visible.get(key)),
    list: ({ prefix }) => [...this.#visible].filter(([key]) => key.startsWith(prefix)),
    put: (key, value) => {
      this.#refuseWhenFull();
      this.#write(new Map([[key, structuredClone(value)]]));
      this.#flush();
    },
    delete: (key) => {
      this.#write(new Map([[key, undefined]]));
      this.#flush();
    },
  };

  constructor(options: SimStorageOptions) {
    this.#options = options;
  }

  /** Keys with this somewhere in them. */
  keysWith(part: string): string[] {
    return [...this.#visible.keys()].filter((key) => key.includes(part));
  }

  async put(entries: Readonly<Record<string, unknown>>): Promise<void> {
    this.#refuseWhenFull();
    this.#write(new Map(Object.entries(entries).map(([key, value]) => [key, structuredClone(value)])));
    this.#flushLater();
    const onWrite = this.onNextWrite;
    this.onNextWrite = null;
    onWrite?.();
  }

  async delete(keys: readonly string[]): Promise<void> {
    this.#write(new Map(keys.map((key) => [key, undefined])));
    this.#flushLater();
  }

  async setAlarm(atMs: number): Promise<void> {
    const { events, name, onAlarm } = this.#options;
    events.schedule(atMs - events.nowMs, `${name} has an alarm`, onAlarm);
  }

  /**
   * The isolate is gone: what was not durable is lost.
   * @param isTorn some of the last writes are there, and one of them is damaged
   */
  crash(isTorn: boolean): void {
    if (isTorn && this.#pending.length > 0) {
      const numKept = this.#options.random.between(1, this.#pending.length);
      const kept = this.#pending.slice(0, numKept);
      kept.push(this.#damaged(kept.pop() as Rows));
      for (const write of kept) {
        apply(this.#durable, write);
      }
    }
    this.#pending = [];
    this.#visible = new Map(this.#durable);
  }

  #write(write: Rows): void {
    apply(this.#visible, write);
    this.#pending.push(write);
  }

  #flush(): void {
    for (const write of this.#pending) {
      apply(this.#durable, write);
    }
    this.#pending = [];
  }

  #flushLater(): void {
    if (!this.#isFlushScheduled) {
      const { events, random, flushMs, name } = this.#options;
      this.#isFlushScheduled = true;
      events.schedule(random.exponential(flushMs), `${name} has written`, () => {
        this.#isFlushScheduled = false;
        this.#flush();
      });
    }
  }

  #refuseWhenFull(): void {
    if (this.isFull) {
      throw new Error('database or disk is full: SQLITE_FULL');
    }
  }

  /** The end of its bytes was not written. */
  #damaged(write: Rows): Rows {
    return new Map(
      [...write].map(([key, value]) =>
        value instanceof Uint8Array
          ? [key, value.slice().fill(0, this.#options.random.between(0, value.length - 1))]
          : [key, value],
      ),
    );
  }
}

function apply(rows: Rows, write: Rows): void {
  for (const [key, value] of write) {
    if (value === undefined) {
      rows.delete(key);
    } else {
      rows.set(key, value);
    }
  }
}
