/** Which pages a store holds, in the order of their last use, and which have to go. It knows nothing of their bytes. */
import type { Clock } from './clock.ts';

/** Thousands of them may be in memory: what the name tells is not here again. */
export interface PageEntry {
  readonly numBytes: number;
  usedMs: number;
  /** It is kept until then, whatever the limits say; 0 is not pinned. */
  pinnedUntilMs: number;
}

export interface PageIndexLimits {
  /** Of all pages together, the pinned ones included. */
  readonly bytesMax: number;
  /** Entries of this index. */
  readonly pagesMax: number;
  /** Since the last use. */
  readonly ttlMs: number;
}

export class PageIndex<Entry extends PageEntry> {
  readonly #clock: Clock;
  readonly #limits: PageIndexLimits;
  /** Least recently used first: a map iterates in order of insertion. */
  readonly #entries = new Map<string, Entry>();
  #numBytes = 0;

  constructor(clock: Clock, limits: PageIndexLimits) {
    this.#clock = clock;
    this.#limits = limits;
  }

  get size(): number {
    return this.#entries.size;
  }

  /** Null when there is none, or none any more. */
  find(name: string): Entry | null {
    const entry = this.#entries.get(name);
    return entry === undefined || this.#isExpired(entry) ? null : entry;
  }

  /** The entry becomes the last one to go. One of the same name is replaced. */
  add(name: string, entry: Entry): void {
    this.remove(name);
    this.#numBytes += entry.numBytes;
    this.#entries.set(name, entry);
  }

  touch(name: string, entry: Entry): void {
    entry.usedMs = this.#clock.nowMs();
    this.#entries.delete(name);
    this.#entries.set(name, entry);
  }

  /** @returns what was removed, also when its time was over; null when there was nothing */
  remove(name: string): Entry | null {
    const entry = this.#entries.get(name) ?? null;
    this.#numBytes -= entry?.numBytes ?? 0;
    this.#entries.delete(name);
    return entry;
  }

  /**
   * What has to go for a page of so many bytes, oldest first, pinned pages excepted. The caller removes it.
   * @returns null when there would be no room even then
   */
  victimsFor(numBytes: number): string[] | null {
    const { bytesMax, pagesMax } = this.#limits;
    const victims: string[] = [];
    let bytesAfter = this.#numBytes + numBytes;
    let pagesAfter = this.#entries.size + 1;
    for (const [name, entry] of this.#entries) {
      if (bytesAfter <= bytesMax && pagesAfter <= pagesMax) {
        break;
      }
      if (!this.#isPinned(entry)) {
        victims.push(name);
        bytesAfter -= entry.numBytes;
        pagesAfter--;
      }
    }
    return bytesAfter <= bytesMax && pagesAfter <= pagesMax ? victims : null;
  }

  /** At most `count` pages whose time is over. */
  expired(count: number): string[] {
    const names: string[] = [];
    for (const [name, entry] of this.#entries) {
      if (names.length >= count) {
        break;
      }
      if (this.#isExpired(entry)) {
        names.push(name);
      }
    }
    return names;
  }

  ofTenant(tenant: string): string[] {
    return [...this.#entries.keys()].filter((name) => name.startsWith(`${tenant}/`));
  }

  /** When the first page's time will be over unless it is used; null when there is none. */
  nextExpiryMs(): number | null {
    let next: number | null = null;
    for (const { usedMs, pinnedUntilMs } of this.#entries.values()) {
      const expiryMs = Math.max(usedMs + this.#limits.ttlMs, pinnedUntilMs);
      next = next === null ? expiryMs : Math.min(next, expiryMs);
    }
    return next;
  }

  #isPinned({ pinnedUntilMs }: Entry): boolean {
    return pinnedUntilMs > this.#clock.nowMs();
  }

  #isExpired(entry: Entry): boolean {
    return !this.#isPinned(entry) && this.#clock.nowMs() - entry.usedMs >= this.#limits.ttlMs;
  }
}

/** The name of a page in an index. */
export function pageName({ tenant, hash }: { readonly tenant: string; readonly hash: string }): string {
  return `${tenant}/${hash}`;
}
