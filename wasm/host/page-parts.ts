/**
 * The bytes of a KV page as one run. In a stage's memory its parts, the keys or the values of one head of one layer, lie far
 * apart, each beside the same part of all other pages: that is how attention reads them. Outside they follow each other,
 * layer by layer and head by head.
 */
import type { ArenaLayout } from './arena.ts';
import { pagePartBytes } from './arena.ts';
import { assert } from './assert.ts';
import type { StageRuntimeOptions } from './stage-options.ts';

export class PageParts {
  readonly #pool: Uint8Array<ArrayBuffer>;
  readonly #numPages: number;
  readonly #partBytes: number;
  /** Of one page, all parts. */
  readonly pageBytes: number;

  constructor(memory: WebAssembly.Memory, { pages, plan }: ArenaLayout, options: StageRuntimeOptions) {
    this.#pool = new Uint8Array(memory.buffer, pages.address, pages.bytes);
    this.#numPages = options.numPages;
    this.#partBytes = pagePartBytes(options.config.headDim);
    this.pageBytes = plan.pageBytes;
  }

  /** @param into `pageBytes` bytes */
  read(page: number, into: Uint8Array): void {
    this.#assertBytes(into);
    this.#forEachPart(page, (part, offset) => into.set(part, offset));
  }

  /** @param bytes `pageBytes` bytes, from `read` on any stage with as many layers */
  write(page: number, bytes: Uint8Array): void {
    this.#assertBytes(bytes);
    this.#forEachPart(page, (part, offset) => part.set(bytes.subarray(offset, offset + this.#partBytes)));
  }

  copy(page: number, sourcePage: number): void {
    this.#assertPage(sourcePage);
    const distance = (sourcePage - page) * this.#partBytes;
    this.#forEachPart(page, (part) => {
      const from = part.byteOffset - this.#pool.byteOffset + distance;
      part.set(this.#pool.subarray(from, from + this.#partBytes));
    });
  }

  /** @param visit gets each part, and where it lies in the page's bytes */
  #forEachPart(page: number, visit: (part: Uint8Array<ArrayBuffer>, offset: number) => void): void {
    this.#assertPage(page);
    for (let offset = 0; offset < this.pageBytes; offset += this.#partBytes) {
      const at = offset * this.#numPages + page * this.#partBytes;
      visit(this.#pool.subarray(at, at + this.#partBytes), offset);
    }
  }

  #assertPage(page: number): void {
    assert(
      Number.isSafeInteger(page) && page >= 0 && page < this.#numPages,
      `page ${page} is not in [0, ${this.#numPages})`,
    );
  }

  #assertBytes(bytes: Uint8Array): void {
    assert(bytes.length === this.pageBytes, `a page has ${this.pageBytes} bytes, not ${bytes.length}`);
  }
}
