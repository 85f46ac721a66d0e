import { assert } from '../../wasm/host/assert.ts';
import { PAGE_SIZE_TOKENS } from '../../wasm/host/stage-runtime.ts';
import type { PagePool } from './page-pool.ts';

/** Pages that `numTokens` tokens of one sequence fill, the last one perhaps in part. */
export function pagesForTokens(numTokens: number): number {
  return Math.ceil(numTokens / PAGE_SIZE_TOKENS);
}

/** The pages of one sequence, in order of position. Append-only until it is released whole. */
export class PageTable {
  readonly #pool: PagePool;
  #pages: number[] = [];

  constructor(pool: PagePool) {
    this.#pool = pool;
  }

  /** Entry i is the page of positions `[i * PAGE_SIZE_TOKENS, (i + 1) * PAGE_SIZE_TOKENS)`. */
  get pages(): readonly number[] {
    return this.#pages;
  }

  /** Pages that are missing for the first `numTokens` positions. */
  numPagesMissing(numTokens: number): number {
    return Math.max(0, pagesForTokens(numTokens) - this.#pages.length);
  }

  /** Grows the table to cover `numTokens` positions; false, and unchanged, when the pool has too few pages. */
  cover(numTokens: number): boolean {
    const pages = this.#pool.allocate(this.numPagesMissing(numTokens));
    if (pages === null) {
      return false;
    }
    this.#pages.push(...pages);
    return true;
  }

  /** Begins an empty table with pages that other tables have too, or that are cached. */
  share(pages: readonly number[]): void {
    assert(this.#pages.length === 0, 'only the beginning of a sequence is shared');
    for (const page of pages) {
      this.#pool.retain(page);
    }
    this.#pages = [...pages];
  }

  /** Gives every page back, the last one first: where a prefix branches, the trunk is evicted after the branches. */
  release(): void {
    for (const page of this.#pages.toReversed()) {
      this.#pool.release(page);
    }
    this.#pages = [];
  }
}
