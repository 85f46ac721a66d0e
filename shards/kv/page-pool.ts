/**
 * The KV pages of a ring, by number. The head's pool decides for every stage: page 7 holds the same tokens everywhere.
 * A page is `free`; `referenced` by the tables of one or more sequences; or `cached`: nobody has it now, but what it holds
 * is kept until pages are needed. Then the page that was cached first goes first, and pinned ones go last.
 *
 * A freed page may be handed out at once, even while steps that read or write it are under way, however many: every
 * stage computes the steps of a ring in order, so whatever its next owner writes comes after, and its next owner reads
 * nothing that it has not written. When a ring breaks, steps under way never reach a stage of the next epoch.
 */
import { assert } from '../../wasm/host/assert.ts';

export type PageState = 'free' | 'referenced' | 'cached';

export class PagePool {
  readonly numPages: number;
  readonly #onEvict: (page: number) => void;
  /** How many page tables hold each page. */
  readonly #referenceCounts: Uint32Array;
  /** Pages whose contents are kept when their last reference goes. */
  readonly #kept = new Set<number>();
  readonly #pinned = new Set<number>();
  /** Free pages, the next one to hand out last. */
  readonly #freePages: number[];
  /** Kept pages without a reference, the one that has been so for longest first. */
  readonly #cached = new Set<number>();
  readonly #cachedPinned = new Set<number>();

  /** @param onEvict told of a cached page that is about to hold something else; it is not kept any more. */
  constructor(numPages: number, onEvict: (page: number) => void = () => {}) {
    assert(Number.isInteger(numPages) && numPages > 0, `a pool needs pages, not ${numPages}`);
    this.numPages = numPages;
    this.#onEvict = onEvict;
    this.#referenceCounts = new Uint32Array(numPages);
    this.#freePages = Array.from({ length: numPages }, (_, i) => numPages - 1 - i);
  }

  get numCachedPages(): number {
    return this.#cached.size + this.#cachedPinned.size;
  }

  /** Pages that `allocate` can hand out: the free ones and the cached ones. */
  get numAvailablePages(): number {
    return this.#freePages.length + this.numCachedPages;
  }

  /** Takes `count` pages, each with one reference, or none at all: null when fewer are available. */
  allocate(count: number): number[] | null {
    if (count > this.numAvailablePages) {
      return null;
    }
    const pages: number[] = [];
    for (let i = 0; i < count; i++) {
      const page = this.#freePages.pop() ?? this.#evict();
      this.#referenceCounts[page] = 1;
      pages.push(page);
    }
    return pages;
  }

  /** Adds a reference to a page that is in use, for a second page table that shares it, or takes a cached one. */
  retain(page: number): void {
    const state = this.state(page);
    assert(state !== 'free', `page ${page} is free and cannot be shared`);
    if (state === 'cached') {
      this.#cached.delete(page);
      this.#cachedPinned.delete(page);
    }
    this.#referenceCounts[page] = this.referenceCount(page) + 1;
  }

  /** Drops one reference; the last one frees the page, or leaves it cached if it is kept. */
  release(page: number): void {
    const count = this.referenceCount(page);
    assert(count > 0, `page ${page} is released more often than it was taken`);
    this.#referenceCounts[page] = count - 1;
    if (count === 1) {
      this.#putAway(page);
    }
  }

  /** What the page holds from now on outlives its references. */
  keep(page: number): void {
    assert(this.referenceCount(page) > 0, `page ${page} holds nothing that could be kept`);
    this.#kept.add(page);
  }

  /** What the page holds is of no use any more: it is free once nobody has it. Not pinned any more either. */
  discard(page: number): void {
    const isCached = this.state(page) === 'cached';
    this.#cached.delete(page);
    this.#cachedPinned.delete(page);
    this.#kept.delete(page);
    this.#pinned.delete(page);
    if (isCached) {
      this.#freePages.push(page);
    }
  }

  /** Whether a kept page is evicted after all that are not pinned, or in its turn. */
  setPinned(page: number, isPinned: boolean): void {
    assert(this.#kept.has(page), `page ${page} is not kept, so it cannot be pinned`);
    if (isPinned) {
      this.#pinned.add(page);
    } else {
      this.#pinned.delete(page);
    }
    if (this.state(page) === 'cached') {
      this.#cached.delete(page);
      this.#cachedPinned.delete(page);
      this.#putAway(page);
    }
  }

  referenceCount(page: number): number {
    const count = this.#referenceCounts[page];
    assert(count !== undefined, `page ${page} is not one of the ${this.numPages} of this pool`);
    return count;
  }

  state(page: number): PageState {
    if (this.referenceCount(page) > 0) {
      return 'referenced';
    }
    return this.#kept.has(page) ? 'cached' : 'free';
  }

  #putAway(page: number): void {
    if (!this.#kept.has(page)) {
      this.#freePages.push(page);
    } else if (this.#pinned.has(page)) {
      this.#cachedPinned.add(page);
    } else {
      this.#cached.add(page);
    }
  }

  #evict(): number {
    const [page] = this.#cached.size > 0 ? this.#cached : this.#cachedPinned;
    assert(page !== undefined, 'there is no page to evict');
    this.#cached.delete(page);
    this.#cachedPinned.delete(page);
    this.#kept.delete(page);
    this.#pinned.delete(page);
    this.#onEvict(page);
    return page;
  }
}
