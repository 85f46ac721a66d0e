/**
 * The memory in which the linear layer of a classifier is trained: its weights, their gradient, and a batch of examples
 * with their logits. Planned once for the number of labels and features; nothing is allocated afterwards.
 */
import { ARENA_BASE, F16_BYTES, F32_BYTES } from '../assembly/layout.ts';
import { assert } from './assert.ts';
import { WASM_PAGE_BYTES } from './arena.ts';
import { instantiateKernels, type Kernels } from './kernels.ts';

/** Features that a vector of the standardising kernel takes. */
const PART_SIZE_MULTIPLE = 4;
/** Columns that the kernels take at a time: the features, the intercept's 1, and zeros up to a multiple of this. */
const COLS_MULTIPLE = 8;
const ALIGNMENT_BYTES = 64;

export interface LinearShape {
  readonly numLabels: number;
  readonly featureSize: number;
  /** Features are parts of this size, each with the same share of a row's length. */
  readonly partSize: number;
  /** Most examples in a batch. */
  readonly batchRowsMax: number;
}

/** Width of a row of weights. */
export function linearCols(featureSize: number): number {
  return Math.ceil((featureSize + 1) / COLS_MULTIPLE) * COLS_MULTIPLE;
}

/** Bytes of the memory of a `LinearWorkspace`. */
export function linearWorkspaceBytes(shape: LinearShape): number {
  const totalBytes = regionBytes(shape).reduce((sum, bytes) => sum + roundUp(bytes, ALIGNMENT_BYTES), ARENA_BASE);
  return roundUp(totalBytes, WASM_PAGE_BYTES);
}

/** In the order in which they lie: weights, gradient, standardised features, logits, means, scales, features. */
function regionBytes({ numLabels, featureSize, batchRowsMax }: LinearShape) {
  const cols = linearCols(featureSize);
  return [
    numLabels * cols * F32_BYTES,
    numLabels * cols * F32_BYTES,
    batchRowsMax * cols * F32_BYTES,
    batchRowsMax * numLabels * F32_BYTES,
    featureSize * F32_BYTES,
    featureSize * F32_BYTES,
    batchRowsMax * featureSize * F16_BYTES,
  ] as const;
}

export class LinearWorkspace {
  readonly shape: LinearShape;
  /** Width of a row of weights: `featureSize`, then the intercept, then zeros. */
  readonly cols: number;
  /** `[numLabels, cols]` */
  readonly weights: Float32Array<ArrayBuffer>;
  /** `[numLabels, cols]`; what `addGradient` adds to. */
  readonly gradient: Float32Array<ArrayBuffer>;
  /** `[batchRowsMax, featureSize]`, bits of f16: where a batch is put. */
  readonly features: Uint16Array<ArrayBuffer>;
  /** `[batchRowsMax, numLabels]`: output of `computeLogits`, and, overwritten with residuals, input of `addGradient`. */
  readonly logits: Float32Array<ArrayBuffer>;
  /** `[featureSize]`: what is taken from each feature, and what it is then multiplied with. */
  readonly means: Float32Array<ArrayBuffer>;
  readonly scales: Float32Array<ArrayBuffer>;
  /** `[batchRowsMax, cols]`: output of `standardise`. */
  readonly standardised: Float32Array<ArrayBuffer>;
  readonly #kernels: Kernels;

  /** @param module the compiled `kernels.wasm` */
  constructor(module: WebAssembly.Module, shape: LinearShape) {
    const { numLabels, featureSize, partSize, batchRowsMax } = shape;
    assertPositive('numLabels', numLabels);
    assertPositive('batchRowsMax', batchRowsMax);
    assertPositive('featureSize', featureSize);
    assertPositive('partSize', partSize);
    assert(partSize % PART_SIZE_MULTIPLE === 0, `partSize ${partSize} is no multiple of ${PART_SIZE_MULTIPLE}`);
    assert(featureSize % partSize === 0, `featureSize ${featureSize} is no multiple of partSize ${partSize}`);
    this.shape = shape;
    this.cols = linearCols(featureSize);
    const sizes = regionBytes(shape);
    const numPages = linearWorkspaceBytes(shape) / WASM_PAGE_BYTES;
    const memory = new WebAssembly.Memory({ initial: numPages, maximum: numPages });
    let end = ARENA_BASE;
    const [weights, gradient, standardised, logits, means, scales, features] = sizes.map((bytes) => {
      const address = end;
      end += roundUp(bytes, ALIGNMENT_BYTES);
      return { address, bytes };
    });
    const floats = (region: typeof weights): Float32Array<ArrayBuffer> =>
      new Float32Array(memory.buffer, region?.address, (region?.bytes ?? 0) / F32_BYTES);
    this.weights = floats(weights);
    this.gradient = floats(gradient);
    this.standardised = floats(standardised);
    this.logits = floats(logits);
    this.means = floats(means);
    this.scales = floats(scales);
    this.features = new Uint16Array(memory.buffer, features?.address, (features?.bytes ?? 0) / F16_BYTES);
    this.#kernels = instantiateKernels(module, memory);
  }

  /** Bytes of the whole memory. */
  get bytes(): number {
    return this.weights.buffer.byteLength;
  }

  /** Standardises the first `numRows` rows of `features`, for the two calls below. */
  standardise(numRows: number): void {
    this.#assertRows(numRows);
    this.#kernels.f16_f32_standardise__simd128(
      this.standardised.byteOffset,
      this.features.byteOffset,
      this.means.byteOffset,
      this.scales.byteOffset,
      numRows,
      this.shape.featureSize / this.shape.partSize,
      this.shape.partSize,
      this.cols,
    );
  }

  /** logits = standardised features times weights, for the first `numRows` rows. */
  computeLogits(numRows: number): void {
    this.#assertRows(numRows);
    this.#kernels.f32_f32_f32_gemm__simd128(
      this.logits.byteOffset,
      this.standardised.byteOffset,
      this.weights.byteOffset,
      numRows,
      this.shape.numLabels,
      this.cols,
    );
  }

  /** gradient += residuals, which stand in `logits`, times standardised features, for the first `numRows` rows. */
  addGradient(numRows: number): void {
    this.#assertRows(numRows);
    this.#kernels.f32_f32_f32_outer__simd128(
      this.gradient.byteOffset,
      this.logits.byteOffset,
      this.standardised.byteOffset,
      numRows,
      this.shape.numLabels,
      this.cols,
    );
  }

  #assertRows(numRows: number): void {
    const { batchRowsMax } = this.shape;
    assert(
      Number.isSafeInteger(numRows) && numRows >= 1 && numRows <= batchRowsMax,
      `${numRows} rows in a batch of at most ${batchRowsMax}`,
    );
  }
}

function roundUp(value: number, multiple: number): number {
  return Math.ceil(value / multiple) * multiple;
}

function assertPositive(name: string, value: number): void {
  assert(Number.isSafeInteger(value) && value > 0, `${name} must be a positive whole number, got ${value}`);
}
