/** A page store that lasts as long as its object: for rings inside one process, and for simulations. */
import type { PageKey } from '../kv/page-key.ts';
import type { Clock } from './clock.ts';
import { PageIndex, pageName, type PageEntry, type PageIndexLimits } from './page-index.ts';
import type { PageStore } from './page-store.ts';

export interface MemoryPageStoreOptions extends Partial<PageIndexLimits> {
  readonly clock: Clock;
}

interface StoredPage extends PageEntry {
  readonly bytes: Uint8Array;
}

const LIMITS_DEFAULT: PageIndexLimits = { bytesMax: 64 * 2 ** 20, pagesMax: 65_536, ttlMs: 24 * 60 * 60_000 };

export class MemoryPageStore implements PageStore {
  readonly #clock: Clock;
  readonly #pages: PageIndex<StoredPage>;

  constructor(options: MemoryPageStoreOptions) {
    this.#clock = options.clock;
    this.#pages = new PageIndex(options.clock, { ...LIMITS_DEFAULT, ...options });
  }

  get numPages(): number {
    return this.#pages.size;
  }

  has(key: PageKey): boolean {
    return this.#pages.find(pageName(key)) !== null;
  }

  read(key: PageKey, into: Uint8Array): boolean {
    const name = pageName(key);
    const page = this.#pages.find(name);
    if (page === null || page.numBytes !== into.byteLength) {
      return false;
    }
    into.set(page.bytes);
    this.#pages.touch(name, page);
    return true;
  }

  write(key: PageKey, bytes: Uint8Array): void {
    const name = pageName(key);
    const pinnedUntilMs = this.#pages.find(name)?.pinnedUntilMs ?? 0;
    this.#pages.remove(name);
    const victims = this.#pages.victimsFor(bytes.byteLength);
    if (victims === null) {
      return;
    }
    for (const victim of victims) {
      this.#pages.remove(victim);
    }
    const numBytes = bytes.byteLength;
    this.#pages.add(name, { numBytes, bytes: bytes.slice(), usedMs: this.#clock.nowMs(), pinnedUntilMs });
  }

  pin(keys: readonly PageKey[], untilMs: number | null): void {
    for (const key of keys) {
      const page = this.#pages.find(pageName(key));
      if (page !== null) {
        page.pinnedUntilMs = untilMs ?? 0;
      }
    }
  }

  delete(keys: readonly PageKey[]): void {
    for (const key of keys) {
      this.#pages.remove(pageName(key));
    }
  }

  deleteTenant(tenant: string, pagesMax: number): boolean {
    const names = this.#pages.ofTenant(tenant);
    for (const name of names.slice(0, pagesMax)) {
      this.#pages.remove(name);
    }
    return names.length > pagesMax;
  }
}
