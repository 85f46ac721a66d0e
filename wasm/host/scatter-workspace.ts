/**
 * The memory in which the scatter of features is summed up and multiplied: a symmetric matrix for each part of the
 * features. Planned once; nothing is allocated afterwards.
 */
import { ARENA_BASE, F32_BYTES } from '../assembly/layout.ts';
import { WASM_PAGE_BYTES } from './arena.ts';
import { assert } from './assert.ts';
import { instantiateKernels, type Kernels } from './kernels.ts';

/** Columns that the kernels take at a time. */
const PART_SIZE_MULTIPLE = 8;

export interface ScatterShape {
  readonly numParts: number;
  readonly partSize: number;
  /** Most rows of one call. */
  readonly batchRowsMax: number;
}

/** Bytes of the memory of a `ScatterWorkspace`. */
export function scatterWorkspaceBytes({ numParts, partSize, batchRowsMax }: ScatterShape): number {
  const numValues = numParts * partSize * partSize + 3 * batchRowsMax * partSize;
  return Math.ceil((ARENA_BASE + numValues * F32_BYTES) / WASM_PAGE_BYTES) * WASM_PAGE_BYTES;
}

export class ScatterWorkspace {
  readonly shape: ScatterShape;
  /** `[numParts, partSize, partSize]` */
  readonly scatter: Float32Array<ArrayBuffer>;
  /** `[batchRowsMax, partSize]`: input of both calls. */
  readonly rows: Float32Array<ArrayBuffer>;
  /** `[batchRowsMax, partSize]`: what `addOuter` multiplies `rows` with. */
  readonly factors: Float32Array<ArrayBuffer>;
  /** `[batchRowsMax, partSize]`: output of `multiply`. */
  readonly products: Float32Array<ArrayBuffer>;
  readonly #kernels: Kernels;

  /** @param module the compiled `kernels.wasm` */
  constructor(module: WebAssembly.Module, shape: ScatterShape) {
    const { numParts, partSize, batchRowsMax } = shape;
    assert(partSize % PART_SIZE_MULTIPLE === 0, `partSize ${partSize} is no multiple of ${PART_SIZE_MULTIPLE}`);
    this.shape = shape;
    const numPages = scatterWorkspaceBytes(shape) / WASM_PAGE_BYTES;
    const memory = new WebAssembly.Memory({ initial: numPages, maximum: numPages });
    let end = ARENA_BASE;
    const floats = (length: number): Float32Array<ArrayBuffer> => {
      const values = new Float32Array(memory.buffer, end, length);
      end += values.byteLength;
      return values;
    };
    this.scatter = floats(numParts * partSize * partSize);
    this.rows = floats(batchRowsMax * partSize);
    this.factors = floats(batchRowsMax * partSize);
    this.products = floats(batchRowsMax * partSize);
    this.#kernels = instantiateKernels(module, memory);
  }

  /** scatter of `part` += factors(row) times rows(row), summed over the first `numRows` rows. */
  addOuter(part: number, numRows: number): void {
    this.#assertRange(part, numRows);
    const { partSize } = this.shape;
    this.#kernels.f32_f32_f32_outer__simd128(
      this.#addressOf(part),
      this.factors.byteOffset,
      this.rows.byteOffset,
      numRows,
      partSize,
      partSize,
    );
  }

  /** products = rows times the scatter of `part`, for the first `numRows` rows. */
  multiply(part: number, numRows: number): void {
    this.#assertRange(part, numRows);
    const { partSize } = this.shape;
    this.#kernels.f32_f32_f32_gemm__simd128(
      this.products.byteOffset,
      this.rows.byteOffset,
      this.#addressOf(part),
      numRows,
      partSize,
      partSize,
    );
  }

  #addressOf(part: number): number {
    const { partSize } = this.shape;
    return this.scatter.byteOffset + part * partSize * partSize * F32_BYTES;
  }

  #assertRange(part: number, numRows: number): void {
    const { numParts, batchRowsMax } = this.shape;
    assert(part >= 0 && part < numParts, `part ${part} of ${numParts}`);
    assert(numRows >= 1 && numRows <= batchRowsMax, `${numRows} rows in a batch of at most ${batchRowsMax}`);
  }
}
