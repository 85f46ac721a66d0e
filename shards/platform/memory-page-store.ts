/** A page store that lasts as long as the process: for rings inside one, and for simulations, where it outlives a stage. */
import { assert } from '../../wasm/host/assert.ts';
import type { PageKey } from '../kv/page-key.ts';
import type { Clock } from './clock.ts';
import type { PageStore } from './page-store.ts';

export interface MemoryPageStoreOptions {
  readonly clock: Clock;
  /** Of all pages; default 64 MiB. */
  readonly bytesMax?: number;
  /** Since its last use; default one day. */
  readonly ttlMs?: number;
}

interface StoredPage {
  readonly tenant: string;
  readonly bytes: Uint8Array;
  lastUsedMs: number;
  pinnedUntilMs: number;
}

const BYTES_MAX_DEFAULT = 64 * 2 ** 20;
const TTL_MS_DEFAULT = 24 * 60 * 60_000;

export class MemoryPageStore implements PageStore {
  readonly #clock: Clock;
  readonly #bytesMax: number;
  readonly #ttlMs: number;
  /** Least recently used first: a map iterates in order of insertion. */
  readonly #pages = new Map<string, StoredPage>();
  #numBytes = 0;

  constructor(options: MemoryPageStoreOptions) {
    this.#clock = options.clock;
    this.#bytesMax = options.bytesMax ?? BYTES_MAX_DEFAULT;
    this.#ttlMs = options.ttlMs ?? TTL_MS_DEFAULT;
  }

  get numPages(): number {
    return this.#pages.size;
  }

  has(key: PageKey): boolean {
    const page = this.#pages.get(nameOf(key));
    return page !== undefined && !this.#isExpired(page);
  }

  read(key: PageKey, into: Uint8Array): boolean {
    const page = this.#pages.get(nameOf(key));
    if (page === undefined || this.#isExpired(page) || page.bytes.byteLength !== into.byteLength) {
      return false;
    }
    into.set(page.bytes);
    this.#touch(nameOf(key), page);
    return true;
  }

  write(key: PageKey, bytes: Uint8Array): void {
    const name = nameOf(key);
    const pinnedUntilMs = this.#pages.get(name)?.pinnedUntilMs ?? 0;
    this.#remove(name);
    this.#makeRoom(bytes.byteLength);
    if (this.#numBytes + bytes.byteLength <= this.#bytesMax) {
      this.#numBytes += bytes.byteLength;
      this.#touch(name, { tenant: key.tenant, bytes: bytes.slice(), lastUsedMs: 0, pinnedUntilMs });
    }
  }

  pin(keys: readonly PageKey[], untilMs: number | null): void {
    for (const key of keys) {
      const page = this.#pages.get(nameOf(key));
      if (page !== undefined) {
        page.pinnedUntilMs = untilMs ?? 0;
      }
    }
  }

  delete(keys: readonly PageKey[]): void {
    for (const key of keys) {
      this.#remove(nameOf(key));
    }
  }

  deleteTenant(tenant: string): void {
    assert(tenant !== '', 'a tenant has a name');
    for (const [name, page] of this.#pages) {
      if (page.tenant === tenant) {
        this.#remove(name);
      }
    }
  }

  #touch(name: string, page: StoredPage): void {
    page.lastUsedMs = this.#clock.nowMs();
    this.#pages.delete(name);
    this.#pages.set(name, page);
  }

  #isPinned(page: StoredPage): boolean {
    return page.pinnedUntilMs > this.#clock.nowMs();
  }

  #isExpired(page: StoredPage): boolean {
    return !this.#isPinned(page) && this.#clock.nowMs() - page.lastUsedMs >= this.#ttlMs;
  }

  #remove(name: string): void {
    this.#numBytes -= this.#pages.get(name)?.bytes.byteLength ?? 0;
    this.#pages.delete(name);
  }

  /** Drops pages that have expired, and as many of the others as a page of so many bytes needs; none that is pinned. */
  #makeRoom(numBytes: number): void {
    for (const [name, page] of this.#pages) {
      const isNeeded = this.#numBytes + numBytes > this.#bytesMax;
      if (!this.#isPinned(page) && (isNeeded || this.#isExpired(page))) {
        this.#remove(name);
      }
    }
  }
}

function nameOf({ tenant, hash }: PageKey): string {
  return `${tenant}/${hash}`;
}
