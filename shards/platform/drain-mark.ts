/**
 * Whether a head is being drained, beyond the life of its object in memory: one that is drained has soon nothing to do, and
 * an idle object is taken out of memory.
 */

/** A drain that nobody has ended is over then: longer than a deployment takes. */
export const DRAIN_MS_MAX = 15 * 60_000;

/** As much of a Durable Object's storage as this needs: it is read at once. */
export interface KeyValueStorage {
  get(key: string): unknown;
  put(key: string, value: number): void;
  delete(key: string): unknown;
}

/** Key in the object's storage; the value is when the drain is over, in milliseconds since the epoch. */
const DRAINED_UNTIL_KEY = 'drainedUntilMs';

export class DrainMark {
  readonly #storage: KeyValueStorage;
  readonly #epochMs: () => number;

  constructor(storage: KeyValueStorage, epochMs: () => number) {
    this.#storage = storage;
    this.#epochMs = epochMs;
  }

  get isSet(): boolean {
    const untilMs = this.#storage.get(DRAINED_UNTIL_KEY);
    return typeof untilMs === 'number' && untilMs > this.#epochMs();
  }

  set(): void {
    this.#storage.put(DRAINED_UNTIL_KEY, this.#epochMs() + DRAIN_MS_MAX);
  }

  clear(): void {
    this.#storage.delete(DRAINED_UNTIL_KEY);
  }
}
