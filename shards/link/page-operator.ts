/** One stage's part of page operations: its own pages in WASM memory, and its own store. */
import type { PageParts } from '../../wasm/host/page-parts.ts';
import type { StageRuntime } from '../../wasm/host/stage-runtime.ts';
import type { PageKey } from '../kv/page-key.ts';
import type { Clock, Timer } from '../platform/clock.ts';
import type { PageStore } from '../platform/page-store.ts';
import type { PageOperation } from './page-operation.ts';

/** Room for pages that wait to be written, ten of the default model's. When half of it is taken they are written at once. */
export const SAVE_BUFFER_BYTES = 2 ** 20;

const NONE: readonly number[] = [];

interface WaitingPage {
  readonly key: PageKey;
  readonly start: number;
  readonly end: number;
}

export class PageOperator {
  readonly #store: PageStore;
  readonly #clock: Clock;
  readonly #delayMs: number;
  readonly #bufferBytes: number;
  /** Kept for good once it was needed: a copy for each page would be garbage outside of V8's heap, which is collected late. */
  #buffer: Uint8Array<ArrayBuffer> | null = null;
  #waiting: WaitingPage[] = [];
  #timer: Timer | null = null;

  /**
   * @param delayMs how long a page waits for others: what is written together is one transaction, and so cheaper.
   * With 0 it is written when the step has gone on.
   * @param bufferBytes of copies between `run` and `flush`; a test passes less.
   */
  constructor(store: PageStore, clock: Clock, delayMs: number, bufferBytes = SAVE_BUFFER_BYTES) {
    this.#store = store;
    this.#clock = clock;
    this.#delayMs = delayMs;
    this.#bufferBytes = bufferBytes;
  }

  /**
   * Carries operations out, in order. Saved pages are copied now and written later, when the step has gone on.
   * @param operations whose pages are all in [0, numPages)
   * @returns indices of restores whose page this store does not have; their pages hold anything
   */
  run(runtime: StageRuntime, operations: readonly PageOperation[]): readonly number[] {
    if (operations.length === 0) {
      return NONE;
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
    this.#writeLater();
    return missing;
  }

  /** Whether a restore would find the page, as far as one can tell without reading it. */
  has(key: PageKey): boolean {
    return this.#isWaiting(key) || this.#store.has(key);
  }

  /** Writes what `run` has copied. */
  flush(): void {
    this.#timer?.cancel();
    this.#timer = null;
    for (const { key, start, end } of this.#waiting.splice(0)) {
      this.#store.write(key, (this.#buffer as Uint8Array).subarray(start, end));
    }
  }

  #writeLater(): void {
    const numBytes = this.#waiting.at(-1)?.end ?? 0;
    if (numBytes > 0 && (this.#delayMs === 0 || numBytes > this.#bufferBytes / 2)) {
      void this.#clock.yieldToEvents().then(() => this.flush());
    } else if (numBytes > 0) {
      this.#timer ??= this.#clock.startTimer(this.#delayMs, () => this.flush());
    }
  }

  #save(key: PageKey, pages: PageParts, page: number): void {
    const { buffer, start, end } = this.#room(pages.pageBytes);
    pages.read(page, buffer.subarray(start, end));
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

  /** Place for a page's bytes behind those that wait. When there is none these are written first. */
  #room(pageBytes: number): { readonly buffer: Uint8Array<ArrayBuffer>; readonly start: number; readonly end: number } {
    this.#buffer ??= new Uint8Array(Math.max(this.#bufferBytes, pageBytes));
    if ((this.#waiting.at(-1)?.end ?? 0) + pageBytes > this.#buffer.byteLength) {
      this.flush();
    }
    const start = this.#waiting.at(-1)?.end ?? 0;
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
