/** One stage's part of page operations: its own pages in WASM memory, and its own store. */
import type { PageParts } from '../../wasm/host/page-parts.ts';
import type { StageRuntime } from '../../wasm/host/stage-runtime.ts';
import type { PageKey } from '../kv/page-key.ts';
import type { PageStore } from '../platform/page-store.ts';
import type { PageOperation } from './page-operation.ts';

/**
 * Room for pages that wait to be written, ten of the default model's. A step saves about one page for each 16 of its
 * tokens; what finds no room is written before the step goes on instead of after it.
 */
export const SAVE_BUFFER_BYTES = 2 ** 20;

interface WaitingPage {
  readonly key: PageKey;
  readonly start: number;
  readonly end: number;
}

export class PageOperator {
  readonly #store: PageStore;
  readonly #bufferBytes: number;
  /** Kept for good once it was needed: a copy for each page would be garbage outside of V8's heap, which is collected late. */
  #buffer: Uint8Array<ArrayBuffer> | null = null;
  #waiting: WaitingPage[] = [];

  /** @param bufferBytes of copies between `run` and `flush`; a test passes less. */
  constructor(store: PageStore, bufferBytes = SAVE_BUFFER_BYTES) {
    this.#store = store;
    this.#bufferBytes = bufferBytes;
  }

  /**
   * Carries operations out, in order. Saved pages are copied; call `flush` when the step has gone on.
   * @param operations whose pages are all in [0, numPages)
   * @returns indices of restores whose page this store does not have; their pages hold anything
   */
  run(runtime: StageRuntime, operations: readonly PageOperation[]): number[] {
    if (operations.length > 0) {
      // What an earlier step saved must be there for this one to restore.
      this.flush();
    }
    const missing: number[] = [];
    for (const [index, operation] of operations.entries()) {
      switch (operation.kind) {
        case 'copy':
          runtime.pages.copy(operation.page, operation.sourcePage);
          break;
        case 'save':
          this.#save(operation.key, runtime.pages, operation.page);
          break;
        case 'restore':
          if (!this.#restore(operation.key, runtime.pages, operation.page)) {
            missing.push(index);
          }
          break;
        default:
          operation satisfies never;
      }
    }
    return missing;
  }

  /** Whether a restore would find the page, as far as one can tell without reading it. */
  has(key: PageKey): boolean {
    return this.#isWaiting(key) || this.#store.has(key);
  }

  /** Writes what `run` has copied. */
  flush(): void {
    for (const { key, start, end } of this.#waiting.splice(0)) {
      this.#store.write(key, (this.#buffer as Uint8Array).subarray(start, end));
    }
  }

  #save(key: PageKey, pages: PageParts, page: number): void {
    const { buffer, start, end } = this.#room(pages.pageBytes);
    pages.read(page, buffer.subarray(start, end));
    if (end > this.#bufferBytes) {
      this.#store.write(key, buffer.subarray(start, end));
      return;
    }
    this.#waiting.push({ key, start, end });
  }

  #restore(key: PageKey, pages: PageParts, page: number): boolean {
    if (this.#isWaiting(key)) {
      this.flush();
    }
    const { buffer, start, end } = this.#room(pages.pageBytes);
    const bytes = buffer.subarray(start, end);
    const isThere = this.#store.read(key, bytes);
    if (isThere) {
      pages.write(page, bytes);
    }
    return isThere;
  }

  /** Place for a page's bytes behind those that wait; there is always one, beyond `bufferBytes` for a moment only. */
  #room(pageBytes: number): { readonly buffer: Uint8Array<ArrayBuffer>; readonly start: number; readonly end: number } {
    const start = this.#waiting.at(-1)?.end ?? 0;
    this.#buffer ??= new Uint8Array(this.#bufferBytes + pageBytes);
    return { buffer: this.#buffer, start, end: start + pageBytes };
  }

  #isWaiting({ tenant, hash }: PageKey): boolean {
    return this.#waiting.some(({ key }) => key.tenant === tenant && key.hash === hash);
  }
}

/** Those of both lists, ascending and once. */
export function unionOf(left: readonly number[], right: readonly number[]): number[] {
  return [...new Set([...left, ...right])].sort((a, b) => a - b);
}
