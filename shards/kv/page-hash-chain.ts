import { PAGE_SIZE_TOKENS } from '../../wasm/host/stage-runtime.ts';
import { pageHash, tenantKey, type PageHash, type PageKey } from './page-key.ts';

/** The names of one sequence's full pages. Hashed once each, when somebody asks, since tokens never change. */
export class PageHashChain {
  readonly tenant: string;
  readonly #cacheSalt: string;
  readonly #hashes: PageHash[] = [];

  constructor(cacheSalt: string) {
    this.#cacheSalt = cacheSalt;
    this.tenant = tenantKey(cacheSalt);
  }

  /**
   * @param tokens of the whole sequence; those before the end of the page must be the same in every call.
   * @param pageIndex of a page that the tokens fill.
   */
  hash(tokens: readonly number[], pageIndex: number): PageHash {
    for (let index = this.#hashes.length; index <= pageIndex; index++) {
      const pageTokens = tokens.slice(index * PAGE_SIZE_TOKENS, (index + 1) * PAGE_SIZE_TOKENS);
      this.#hashes.push(pageHash(this.#hashes.at(-1) ?? null, pageTokens, this.#cacheSalt));
    }
    return this.#hashes[pageIndex] as PageHash;
  }

  key(tokens: readonly number[], pageIndex: number): PageKey {
    return { tenant: this.tenant, hash: this.hash(tokens, pageIndex) };
  }
}
