/**
 * Checks a step and writes it for the kernels: positions, page tables and rotations of its tokens. The kernels trust
 * every number, so each is checked here; what is wrong is a mistake of the engine and throws.
 */
import { F32_BYTES, TOKEN_BYTES, TOKEN_PAGE_TABLE, TOKEN_POSITION } from '../assembly/layout.ts';
import type { ArenaLayout } from './arena.ts';
import { AssertionError } from './assert.ts';
import { PAGE_SIZE_TOKENS, stageShape } from './stage-options.ts';
import type { StageRuntimeOptions } from './stage-options.ts';

const INDEX_BYTES = 4;
/** No sequence of the step writes the page. */
const NOT_WRITTEN = -1;

/** One sequence's part of a step: `numTokens` consecutive tokens starting at `startPosition`. */
export interface StepSequence {
  readonly startPosition: number;
  readonly numTokens: number;
  /** Physical page of each `PAGE_SIZE_TOKENS` positions, covering `startPosition + numTokens`. */
  readonly pageTable: ArrayLike<number>;
}

export class StepWriter {
  readonly #options: StageRuntimeOptions;
  readonly #pageTablesAddress: number;
  readonly #pageTableLength: number;
  readonly #tokens: DataView;
  readonly #pageTables: Uint32Array;
  readonly #rope: Float32Array;
  readonly #frequencies: Float64Array;
  /** For each page, the sequence of this step that writes it. */
  readonly #pageWriters: Int32Array;

  constructor(memory: WebAssembly.Memory, arena: ArenaLayout, options: StageRuntimeOptions) {
    const { tokens, pageTables, rope } = arena.scratch;
    this.#options = options;
    this.#pageTablesAddress = pageTables.address;
    this.#pageTableLength = stageShape(options).pagesPerSequenceMax;
    this.#tokens = new DataView(memory.buffer, tokens.address, tokens.bytes);
    this.#pageTables = new Uint32Array(memory.buffer, pageTables.address, pageTables.bytes / INDEX_BYTES);
    this.#rope = new Float32Array(memory.buffer, rope.address, rope.bytes / F32_BYTES);
    const { headDim, ropeTheta } = options.config;
    this.#frequencies = Float64Array.from({ length: headDim / 2 }, (_, pair) => ropeTheta ** ((-2 * pair) / headDim));
    this.#pageWriters = new Int32Array(options.numPages).fill(NOT_WRITTEN);
  }

  /** @returns the number of tokens of the step. @throws AssertionError on anything out of range. */
  write(sequences: readonly StepSequence[]): number {
    const numTokens = this.#check(sequences);
    let token = 0;
    for (const [sequenceIndex, { startPosition, numTokens: length, pageTable }] of sequences.entries()) {
      const tableStart = sequenceIndex * this.#pageTableLength;
      for (let page = 0; page < numPagesOf(startPosition + length); page++) {
        this.#pageTables[tableStart + page] = pageTable[page] ?? 0;
      }
      for (let position = startPosition; position < startPosition + length; position++) {
        this.#tokens.setInt32(token * TOKEN_BYTES + TOKEN_POSITION, position, true);
        const tableAddress = this.#pageTablesAddress + tableStart * INDEX_BYTES;
        this.#tokens.setUint32(token * TOKEN_BYTES + TOKEN_PAGE_TABLE, tableAddress, true);
        this.#writeRotation(token, position);
        token += 1;
      }
    }
    return numTokens;
  }

  #check(sequences: readonly StepSequence[]): number {
    const { numTokensMax } = this.#options;
    let numTokens = 0;
    for (const sequence of sequences) {
      this.#checkSequence(sequence);
      numTokens += sequence.numTokens;
    }
    if (numTokens < 1 || numTokens > numTokensMax) {
      throw new AssertionError(`a step has 1 to ${numTokensMax} tokens, got ${numTokens}`);
    }
    this.#checkSharing(sequences);
    return numTokens;
  }

  /** Messages are made when something is wrong: a step of a long sequence passes here once for each of its pages. */
  #checkSequence({ startPosition, numTokens, pageTable }: StepSequence): void {
    const { contextLengthMax, numPages } = this.#options;
    if (!Number.isSafeInteger(startPosition) || startPosition < 0) {
      throw new AssertionError(`startPosition is ${startPosition}`);
    }
    if (!Number.isSafeInteger(numTokens) || numTokens < 1) {
      throw new AssertionError(`numTokens of a sequence is ${numTokens}`);
    }
    const end = startPosition + numTokens;
    if (end > contextLengthMax) {
      throw new AssertionError(`the sequence ends at ${end}, beyond contextLengthMax ${contextLengthMax}`);
    }
    const numPagesUsed = numPagesOf(end);
    if (pageTable.length < numPagesUsed) {
      throw new AssertionError(`${end} positions need ${numPagesUsed} pages, got ${pageTable.length}`);
    }
    for (let index = 0; index < numPagesUsed; index++) {
      const page = pageTable[index] ?? -1;
      if (!Number.isSafeInteger(page) || page < 0 || page >= numPages) {
        throw new AssertionError(`page ${page} is not in [0, ${numPages})`);
      }
    }
  }

  /** A page may be shared for reading only: no page written in this step may appear anywhere else in it. */
  #checkSharing(sequences: readonly StepSequence[]): void {
    const writers = this.#pageWriters;
    try {
      for (const [sequenceIndex, { startPosition, numTokens, pageTable }] of sequences.entries()) {
        const end = numPagesOf(startPosition + numTokens);
        for (let index = firstPageWritten(startPosition); index < end; index++) {
          const page = pageTable[index] ?? 0;
          if (writers[page] !== NOT_WRITTEN) {
            throw new AssertionError(`page ${page} would be written twice in one step`);
          }
          writers[page] = sequenceIndex;
        }
      }
      for (const { startPosition, pageTable } of sequences) {
        for (let index = 0; index < firstPageWritten(startPosition); index++) {
          const page = pageTable[index] ?? 0;
          if (writers[page] !== NOT_WRITTEN) {
            throw new AssertionError(`page ${page} would be read and written by different parts of one step`);
          }
        }
      }
    } finally {
      for (const { startPosition, numTokens, pageTable } of sequences) {
        for (let index = firstPageWritten(startPosition); index < numPagesOf(startPosition + numTokens); index++) {
          writers[pageTable[index] ?? 0] = NOT_WRITTEN;
        }
      }
    }
  }

  #writeRotation(token: number, position: number): void {
    const half = this.#frequencies.length;
    const start = token * 2 * half;
    for (let pair = 0; pair < half; pair++) {
      const angle = position * (this.#frequencies[pair] ?? 0);
      this.#rope[start + pair] = Math.cos(angle);
      this.#rope[start + half + pair] = Math.sin(angle);
    }
  }
}

function numPagesOf(numPositions: number): number {
  return Math.ceil(numPositions / PAGE_SIZE_TOKENS);
}

/** Index of the first page that tokens from `startPosition` on are written to. */
function firstPageWritten(startPosition: number): number {
  return Math.floor(startPosition / PAGE_SIZE_TOKENS);
}
