/**
 * Which pages hold which prefixes: full pages by the hash of all tokens up to their end, salted by tenant. Sequences share
 * them, and find them again after their owners have gone. After Kwon et al., "Efficient Memory Management for Large
 * Language Model Serving with PagedAttention" (2023), and the automatic prefix caching of vLLM.
 */
import { assert } from '../../wasm/host/assert.ts';
import { PAGE_SIZE_TOKENS } from '../../wasm/host/stage-runtime.ts';
import type { PageHash, PageKey } from './page-key.ts';
import { PagePool } from './page-pool.ts';

/** Hashes that are pinned at a time. More than any pool has pages; beyond it the oldest pin is forgotten here. */
export const PINS_MAX = 16_384;

/** `registered`: in memory alone. `requested`: a step that saves it is due or under way. `saved`: every stage has been told. */
export type SaveState = 'registered' | 'requested' | 'saved';

/** A full page whose contents are known. */
export interface CachedPage {
  readonly page: number;
  readonly key: PageKey;
  /** Hash of the page before it; null for the first page of a sequence. */
  readonly parent: PageHash | null;
  /** Its `PAGE_SIZE_TOKENS` tokens. */
  readonly tokens: readonly number[];
  saveState: SaveState;
  numSavesRequested: number;
}

/** A page that begins as wanted. */
export interface PartialMatch {
  readonly page: number;
  readonly numTokens: number;
}

export class PrefixCache {
  readonly pool: PagePool;
  readonly #byHash = new Map<PageHash, CachedPage>();
  readonly #byPage = new Map<number, CachedPage>();
  /** By tenant and parent: what may follow a page, or begin a sequence. */
  readonly #children = new Map<string, Set<CachedPage>>();
  /** Until when; also of pages that were evicted and may come back. */
  readonly #pins = new Map<PageHash, { readonly tenant: string; readonly untilMs: number }>();
  #nextPinEndMs = Number.POSITIVE_INFINITY;

  constructor(numPages: number) {
    this.pool = new PagePool(numPages, (page) => this.#forget(page));
  }

  get numPages(): number {
    return this.#byHash.size;
  }

  /** All pages that can be found. */
  entries(): IterableIterator<CachedPage> {
    return this.#byHash.values();
  }

  /**
   * Makes a referenced page findable.
   * @returns null when the same tokens are in another page already: then this page stays its sequence's own.
   */
  register(entry: Omit<CachedPage, 'saveState' | 'numSavesRequested'>): CachedPage | null {
    assert(entry.tokens.length === PAGE_SIZE_TOKENS, 'only full pages are registered');
    assert(!this.#byPage.has(entry.page), `page ${entry.page} is registered already`);
    if (this.#byHash.has(entry.key.hash)) {
      return null;
    }
    const cached: CachedPage = { ...entry, saveState: 'registered', numSavesRequested: 0 };
    this.pool.keep(cached.page);
    this.#byHash.set(cached.key.hash, cached);
    this.#byPage.set(cached.page, cached);
    const place = placeOf(cached);
    const siblings = this.#children.get(place) ?? new Set();
    this.#children.set(place, siblings.add(cached));
    if (this.#pins.has(cached.key.hash)) {
      this.pool.setPinned(cached.page, true);
    }
    return cached;
  }

  /** @returns null when no page in memory holds it. */
  find(hash: PageHash): CachedPage | null {
    return this.#byHash.get(hash) ?? null;
  }

  /**
   * The page with the most tokens in common among those that follow `parent`.
   * @param tokens that are wanted next; what is beyond a page does not count.
   * @returns null when none begins with the first of them.
   */
  findPartial(tenant: string, parent: PageHash | null, tokens: readonly number[]): PartialMatch | null {
    let best: PartialMatch | null = null;
    for (const { page, tokens: candidate } of this.#children.get(placeOf({ key: { tenant }, parent })) ?? []) {
      const differsAt = candidate.findIndex((tokenId, i) => tokenId !== tokens[i]);
      const numTokens = differsAt < 0 ? PAGE_SIZE_TOKENS : differsAt;
      if (numTokens > (best?.numTokens ?? 0)) {
        best = { page, numTokens };
      }
    }
    return best;
  }

  /** Pages with these hashes are evicted last until `untilMs`, whether they are in memory now or come later. */
  pin(keys: readonly PageKey[], untilMs: number): void {
    for (const { tenant, hash } of keys) {
      this.#unpin(hash);
      const [oldest] = this.#pins.keys();
      if (this.#pins.size >= PINS_MAX && oldest !== undefined) {
        this.#unpin(oldest);
      }
      this.#pins.set(hash, { tenant, untilMs });
      this.#setPinned(hash, true);
    }
    this.#nextPinEndMs = Math.min(this.#nextPinEndMs, untilMs);
  }

  unpin(keys: readonly PageKey[]): void {
    for (const { hash } of keys) {
      this.#unpin(hash);
    }
  }

  /** Lets go of pins that have ended. Cheap when none has. */
  endPins(nowMs: number): void {
    if (nowMs < this.#nextPinEndMs) {
      return;
    }
    this.#nextPinEndMs = Number.POSITIVE_INFINITY;
    for (const [hash, { untilMs }] of this.#pins) {
      if (untilMs <= nowMs) {
        this.#unpin(hash);
      } else {
        this.#nextPinEndMs = Math.min(this.#nextPinEndMs, untilMs);
      }
    }
  }

  /** Nothing of a tenant is found any more. Running sequences keep their pages. */
  dropTenant(tenant: string): void {
    for (const [hash, pin] of this.#pins) {
      if (pin.tenant === tenant) {
        this.#pins.delete(hash);
      }
    }
    this.#drop((entry) => entry.key.tenant === tenant);
  }

  /** The contents of all pages are lost. Pins stay: what they are for may come back. */
  clear(): void {
    this.#drop(() => true);
  }

  #drop(isDropped: (entry: CachedPage) => boolean): void {
    for (const entry of this.#byHash.values()) {
      if (isDropped(entry)) {
        this.#forget(entry.page);
        this.pool.discard(entry.page);
      }
    }
  }

  #unpin(hash: PageHash): void {
    this.#pins.delete(hash);
    this.#setPinned(hash, false);
  }

  #setPinned(hash: PageHash, isPinned: boolean): void {
    const entry = this.#byHash.get(hash);
    if (entry !== undefined) {
      this.pool.setPinned(entry.page, isPinned);
    }
  }

  #forget(page: number): void {
    const entry = this.#byPage.get(page);
    assert(entry !== undefined, `page ${page} is kept but not registered`);
    this.#byPage.delete(page);
    this.#byHash.delete(entry.key.hash);
    const place = placeOf(entry);
    const siblings = this.#children.get(place);
    siblings?.delete(entry);
    if (siblings?.size === 0) {
      this.#children.delete(place);
    }
  }
}

function placeOf({ key, parent }: { readonly key: Pick<PageKey, 'tenant'>; readonly parent: PageHash | null }): string {
  return `${key.tenant}/${parent ?? ''}`;
}
