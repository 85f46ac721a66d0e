/** One stage of a model in WASM memory: the only way in which the rest of the project reaches the kernels. */
import { F32_BYTES } from '../assembly/layout.ts';
import { layoutArena, WASM_PAGE_BYTES } from './arena.ts';
import type { ArenaLayout, ArenaPlan, Region } from './arena.ts';
import { assert, AssertionError } from './assert.ts';
import { instantiateKernels } from './kernels.ts';
import type { Kernels } from './kernels.ts';
import { PageParts } from './page-parts.ts';
import { writeStageDescriptor } from './stage-descriptor.ts';
import type { StageRuntimeOptions } from './stage-options.ts';
import { StepWriter } from './step-writer.ts';
import type { StepSequence } from './step-writer.ts';

export { PAGE_SIZE_TOKENS } from './stage-options.ts';
export type { StageRuntimeOptions } from './stage-options.ts';
export type { ArenaPlan } from './arena.ts';
export type { StepSequence } from './step-writer.ts';

const INDEX_BYTES = 4;
/** The first call of a kernel runs baseline code and makes V8 compile the optimised; the second finds it, or waits for it. */
const WARM_UP_STEPS = 2;
/** A tile of four tokens, then two, then one: products for each are code of their own. */
const WARM_UP_TOKENS = 7;

export interface StageRuntime {
  readonly options: StageRuntimeOptions;
  readonly arena: ArenaPlan;
  readonly memory: WebAssembly.Memory;
  /**
   * Where the packed bytes of a tensor go; exactly its size. The loader writes here, in as many parts as it likes, then
   * calls `weightsReady`.
   */
  weightView(tensorName: string): Uint8Array<ArrayBuffer>;
  weightsReady(): void;
  /**
   * Runs a tiny step, so that the first request does not pay for V8's compiling. Leaves rubbish in page 0 and in
   * `hiddenStates`, so it is allowed before the first `forward` only.
   */
  warmUp(): void;
  /** `[numTokensMax, hiddenSize]`: input and output of `forward`. */
  readonly hiddenStates: Float32Array<ArrayBuffer>;
  /** Writes rows of the embedding into `hiddenStates`, starting at row 0. Head only. */
  embed(tokenIds: ArrayLike<number>): void;
  /** Runs this stage's layers on rows `[0, sum of numTokens)` of `hiddenStates`, in place. One call into WASM. */
  forward(sequences: readonly StepSequence[]): void;
  /**
   * Runs layers `[layerStart, layerEnd)` of the model, which this stage must have. Ranges that follow each other give the
   * bits of `forward`; between them the rows are the hidden states after so many layers, to be read, or kept and put back.
   */
  forwardRange(sequences: readonly StepSequence[], layerStart: number, layerEnd: number): void;
  /**
   * Final norm and LM head of the given rows of `hiddenStates` (at most `numLogitRowsMax`). Head only.
   * @returns a view `[rows.length, vocabSize]`, valid until the next call.
   */
  logits(rows: ArrayLike<number>): Float32Array<ArrayBuffer>;
  /** KV pages, all layers of this stage: their bytes can be kept elsewhere and put back on any stage of equal layers. */
  readonly pages: PageParts;
}

/** Bytes of the arena, by arithmetic alone: the planner calls it, `createStageRuntime` asserts it. */
export function planArena(options: StageRuntimeOptions): ArenaPlan {
  return layoutArena(options).plan;
}

/**
 * Allocates the stage's memory, which never grows, and binds the kernels to it.
 * @param module the compiled `kernels.wasm`
 * @throws AssertionError for a configuration that the kernels cannot serve, RangeError when memory is refused
 */
export function createStageRuntime(module: WebAssembly.Module, options: StageRuntimeOptions): StageRuntime {
  return new WasmStageRuntime(module, options);
}

class WasmStageRuntime implements StageRuntime {
  readonly options: StageRuntimeOptions;
  readonly memory: WebAssembly.Memory;
  readonly hiddenStates: Float32Array<ArrayBuffer>;
  readonly pages: PageParts;
  readonly #layout: ArenaLayout;
  readonly #kernels: Kernels;
  readonly #step: StepWriter;
  readonly #indices: Uint32Array;
  readonly #logits: Float32Array<ArrayBuffer>;
  #isReady = false;
  #hasRun = false;

  constructor(module: WebAssembly.Module, options: StageRuntimeOptions) {
    this.options = options;
    this.#layout = layoutArena(options);
    const numWasmPages = this.#layout.plan.totalBytes / WASM_PAGE_BYTES;
    this.memory = new WebAssembly.Memory({ initial: numWasmPages, maximum: numWasmPages });
    assertInBounds(this.#layout, this.memory);
    this.#kernels = instantiateKernels(module, this.memory);
    const { scratch } = this.#layout;
    this.hiddenStates = this.#floats(scratch.hiddenStates);
    this.#logits = this.#floats(scratch.logits);
    this.#indices = new Uint32Array(this.memory.buffer, scratch.indices.address, scratch.indices.bytes / INDEX_BYTES);
    this.pages = new PageParts(this.memory, this.#layout, options);
    this.#step = new StepWriter(this.memory, this.#layout, options);
    writeStageDescriptor(this.memory, this.#layout, options);
  }

  get arena(): ArenaPlan {
    return this.#layout.plan;
  }

  weightView(tensorName: string): Uint8Array<ArrayBuffer> {
    assert(!this.#isReady, `${tensorName} would change under a running stage`);
    const region = this.#layout.tensors.get(tensorName);
    assert(region !== undefined, `the stage has no tensor ${tensorName}`);
    return this.#bytes(region);
  }

  weightsReady(): void {
    this.#isReady = true;
  }

  warmUp(): void {
    assert(!this.#hasRun, 'warmUp after forward would overwrite a page that may be in use');
    const numTokens = Math.min(WARM_UP_TOKENS, this.options.numTokensMax, this.options.contextLengthMax);
    for (let step = 0; step < WARM_UP_STEPS; step++) {
      if (this.options.isHead) {
        this.embed(new Uint32Array(numTokens));
      }
      this.forward([{ startPosition: 0, numTokens, pageTable: [0] }]);
      if (this.options.isHead) {
        this.logits([0]);
      }
    }
  }

  embed(tokenIds: ArrayLike<number>): void {
    this.#assertHead('embed');
    this.#writeIndices('token id', tokenIds, this.options.numTokensMax, this.options.config.vocabSize);
    this.#kernels.embed_tokens(this.#layout.scratch.stage.address, tokenIds.length);
  }

  forward(sequences: readonly StepSequence[]): void {
    this.forwardRange(sequences, this.options.layerStart, this.options.layerEnd);
  }

  forwardRange(sequences: readonly StepSequence[], layerStart: number, layerEnd: number): void {
    assert(this.#isReady, 'forward before weightsReady');
    this.#assertLayers(layerStart, layerEnd);
    const numTokens = this.#step.write(sequences);
    this.#hasRun = true;
    const { address } = this.#layout.scratch.stage;
    const { layerStart: first } = this.options;
    this.#kernels.forward_layers(address, numTokens, layerStart - first, layerEnd - first);
  }

  logits(rows: ArrayLike<number>): Float32Array<ArrayBuffer> {
    this.#assertHead('logits');
    this.#writeIndices('row', rows, this.options.numLogitRowsMax, this.options.numTokensMax);
    this.#kernels.compute_logits(this.#layout.scratch.stage.address, rows.length);
    return this.#logits.subarray(0, rows.length * this.options.config.vocabSize);
  }

  #assertLayers(layerStart: number, layerEnd: number): void {
    const { layerStart: first, layerEnd: end } = this.options;
    const isInside =
      Number.isSafeInteger(layerStart) && Number.isSafeInteger(layerEnd) && first <= layerStart && layerEnd <= end;
    if (!isInside || layerStart > layerEnd) {
      throw new AssertionError(`layers [${layerStart}, ${layerEnd}) are no part of the stage's [${first}, ${end})`);
    }
  }

  #assertHead(method: string): void {
    if (!this.options.isHead || !this.#isReady) {
      throw new AssertionError(
        `${method} ${this.#isReady ? 'on a stage that is not the head' : 'before weightsReady'}`,
      );
    }
  }

  #writeIndices(what: string, indices: ArrayLike<number>, lengthMax: number, end: number): void {
    if (indices.length < 1 || indices.length > lengthMax) {
      throw new AssertionError(`1 to ${lengthMax} ${what}s, got ${indices.length}`);
    }
    for (let at = 0; at < indices.length; at++) {
      const index = indices[at] ?? -1;
      if (!Number.isSafeInteger(index) || index < 0 || index >= end) {
        throw new AssertionError(`${what} ${index} is not in [0, ${end})`);
      }
      this.#indices[at] = index;
    }
  }

  #bytes(region: Region): Uint8Array<ArrayBuffer> {
    return new Uint8Array(this.memory.buffer, region.address, region.bytes);
  }

  #floats(region: Region): Float32Array<ArrayBuffer> {
    return new Float32Array(this.memory.buffer, region.address, region.bytes / F32_BYTES);
  }
}

/** The other half of the planner's arithmetic: the memory that exists holds every region that was planned. */
function assertInBounds(layout: ArenaLayout, memory: WebAssembly.Memory): void {
  const { plan, tensors, pages, scratch } = layout;
  assert(memory.buffer.byteLength === plan.totalBytes, `memory has ${memory.buffer.byteLength} bytes, not as planned`);
  for (const region of [...Object.values(scratch), ...tensors.values(), pages]) {
    assert(
      region.address + region.bytes <= plan.totalBytes,
      `a region of ${region.bytes} bytes at ${region.address} is out of bounds`,
    );
  }
}
