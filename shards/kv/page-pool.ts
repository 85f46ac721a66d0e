/**
 * The KV pages of a ring, by number. The head's pool decides for every stage: page 7 holds the same tokens everywhere.
 *
 * A freed page may be handed out at once, even while steps that read or write it are under way, however many: every
 * stage computes the steps of a ring in order, so whatever its next owner writes comes after, and its next owner reads
 * nothing that it has not written. When a ring breaks, steps under way never reach a stage of the next epoch.
 */
import { assert } from '../../wasm/host/assert.ts';

export class PagePool {
  readonly numPages: number;
  /** How many page tables hold each page; 0 is free. */
  readonly #referenceCounts: Uint32Array;
  /** Free pages, the next one to hand out last. */
  readonly #freePages: number[];

  constructor(numPages: number) {
    assert(Number.isInteger(numPages) && numPages > 0, `a pool needs pages, not ${numPages}`);
    this.numPages = numPages;
    this.#referenceCounts = new Uint32Array(numPages);
    this.#freePages = Array.from({ length: numPages }, (_, i) => numPages - 1 - i);
  }

  get numFreePages(): number {
    return this.#freePages.length;
  }

  /** Takes `count` pages, each with one reference, or none at all: null when fewer are free. */
  allocate(count: number): number[] | null {
    if (count > this.#freePages.length) {
      return null;
    }
    const pages: number[] = [];
    for (let i = 0; i < count; i++) {
      const page = this.#freePages.pop();
      assert(page !== undefined, 'the free list is shorter than its length');
      this.#referenceCounts[page] = 1;
      pages.push(page);
    }
    return pages;
  }

  /** Adds a reference to a page that is in use, for a second page table that shares it. */
  retain(page: number): void {
    const count = this.referenceCount(page);
    assert(count > 0, `page ${page} is free and cannot be shared`);
    this.#referenceCounts[page] = count + 1;
  }

  /** Drops one reference; the last one frees the page. */
  release(page: number): void {
    const count = this.referenceCount(page);
    assert(count > 0, `page ${page} is released more often than it was taken`);
    this.#referenceCounts[page] = count - 1;
    if (count === 1) {
      this.#freePages.push(page);
    }
  }

  referenceCount(page: number): number {
    const count = this.#referenceCounts[page];
    assert(count !== undefined, `page ${page} is not one of the ${this.numPages} of this pool`);
    return count;
  }
}
