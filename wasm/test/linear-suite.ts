/** Kernels of a classifier's linear layer: every remainder of tokens, rows and columns, against sums in f64. */
import { describe, expect, it } from 'vitest';
import { F32_BYTES } from '../assembly/layout.ts';
import { f16ToF32, f32ToF16 } from '../host/f16.ts';
import { LinearWorkspace } from '../host/linear-workspace.ts';
import { expectClose, F32_EPSILON, KernelBench, runVariants } from './kernel-bench.ts';
import { Random } from './random.ts';

const NUM_TOKENS = [1, 2, 3, 4, 5, 7, 8, 13];
const NUM_ROWS = [1, 2, 3, 4, 5, 6, 7, 9];
const COLS = [8, 16, 24, 104];
const SEED = 4409;

function randomFloats(size: number, random: Random): Float32Array<ArrayBuffer> {
  return Float32Array.from({ length: size }, () => random.normal());
}

/** Sum of a(i) * b(i) for i in [0, length), and of the absolute products. */
function dot(length: number, a: (i: number) => number, b: (i: number) => number): readonly [number, number] {
  let [sum, magnitude] = [0, 0];
  for (let i = 0; i < length; i++) {
    sum += a(i) * b(i);
    magnitude += Math.abs(a(i) * b(i));
  }
  return [sum, magnitude];
}

export function linearSuite(module: WebAssembly.Module): void {
  const cases = NUM_ROWS.flatMap((rows) => COLS.map((cols) => ({ rows, cols, seed: SEED + rows * cols })));
  gemmSuite(module, cases);
  outerSuite(module, cases);
  standardiseSuite(module);
  workspaceSuite(module);
}

type Cases = readonly { readonly rows: number; readonly cols: number; readonly seed: number }[];

function gemmSuite(module: WebAssembly.Module, cases: Cases): void {
  it.each(cases)('f32_f32_f32_gemm [$rows, $cols], seed $seed', ({ rows, cols, seed }) => {
    const random = new Random(seed);
    for (const numTokens of NUM_TOKENS) {
      const [x, w] = [randomFloats(numTokens * cols, random), randomFloats(rows * cols, random)];
      const bench = new KernelBench(module);
      const [tokens, weights] = [bench.input(x), bench.input(w)];
      const message = `${numTokens} tokens`;
      const size = numTokens * rows * F32_BYTES;
      const output = runVariants(
        bench,
        'f32_f32_f32_gemm',
        size,
        (kernel, to) => kernel(to, tokens.address, weights.address, numTokens, rows, cols),
        message,
      );
      const sums = Array.from({ length: numTokens * rows }, (_, at) => {
        const [token, row] = [Math.floor(at / rows), at % rows];
        return dot(
          cols,
          (col) => x[token * cols + col] ?? NaN,
          (col) => w[row * cols + col] ?? NaN,
        );
      });
      expectClose(
        bench.floats(output),
        sums.map(([sum]) => sum),
        // A product is rounded, then each addition; a lane has a quarter of them, then the lanes are added.
        (at) => (cols / 4 + 3) * F32_EPSILON * (sums[at]?.[1] ?? 0),
        message,
      );
    }
  });
}

function outerSuite(module: WebAssembly.Module, cases: Cases): void {
  it.each(cases)('f32_f32_f32_outer [$rows, $cols], seed $seed', ({ rows, cols, seed }) => {
    const random = new Random(seed);
    for (const numTokens of NUM_TOKENS) {
      const [residuals, features] = [randomFloats(numTokens * rows, random), randomFloats(numTokens * cols, random)];
      const before = randomFloats(rows * cols, random);
      const bench = new KernelBench(module);
      const [left, right] = [bench.input(residuals), bench.input(features)];
      const message = `${numTokens} tokens`;
      const output = runVariants(
        bench,
        'f32_f32_f32_outer',
        before,
        (kernel, to) => kernel(to, left.address, right.address, numTokens, rows, cols),
        message,
      );
      const sums = Array.from(before, (start, at) => {
        const [row, col] = [Math.floor(at / cols), at % cols];
        const [sum, magnitude] = dot(
          numTokens,
          (token) => residuals[token * rows + row] ?? NaN,
          (token) => features[token * cols + col] ?? NaN,
        );
        return [start + sum, Math.abs(start) + magnitude] as const;
      });
      expectClose(
        bench.floats(output),
        sums.map(([sum]) => sum),
        (at) => (numTokens + 1) * F32_EPSILON * (sums[at]?.[1] ?? 0),
        message,
      );
    }
  });
}

function standardiseSuite(module: WebAssembly.Module): void {
  const shapes = [4, 8, 20, 64, 100].flatMap((partSize) => [1, 3].map((numParts) => ({ numParts, partSize })));
  it.each(shapes)('f16_f32_standardise of $numParts parts of $partSize features', ({ numParts, partSize }) => {
    const size = numParts * partSize;
    const random = new Random(SEED + size);
    const [numRows, cols] = [5, Math.ceil((size + 1) / 8) * 8];
    const features = Uint16Array.from({ length: numRows * size }, () => f32ToF16(random.normal() * 3));
    const [means, scales] = [randomFloats(size, random), randomFloats(size, random)];
    // The first part of the last row equals the means, so it has no length.
    means.forEach((mean, col) => (means[col] = f16ToF32(f32ToF16(mean))));
    const lastRow = features.subarray((numRows - 1) * size);
    means.subarray(0, partSize).forEach((mean, col) => (lastRow[col] = f32ToF16(mean)));
    const bench = new KernelBench(module);
    const inputs = [bench.input(features), bench.input(means), bench.input(scales)] as const;
    const [from, minus, times] = inputs.map(({ address }) => address);
    const output = runVariants(
      bench,
      'f16_f32_standardise',
      numRows * cols * F32_BYTES,
      (kernel, to) => kernel(to, from ?? 0, minus ?? 0, times ?? 0, numRows, numParts, partSize, cols),
      'standardise',
    );
    const partAt = (row: number, part: number): number[] => {
      const scaled = Array.from({ length: partSize }, (_, col) => {
        const at = part * partSize + col;
        return (f16ToF32(features[row * size + at] ?? 0) - (means[at] ?? 0)) * (scales[at] ?? 0);
      });
      const length = Math.hypot(...scaled) * Math.sqrt(numParts);
      return scaled.map((value) => (length === 0 ? 0 : value / length));
    };
    const tail = [1, ...Array.from({ length: cols - size - 1 }, () => 0)];
    const expected = Array.from({ length: numRows }, (_, row) => [
      ...Array.from({ length: numParts }, (__, part) => partAt(row, part)).flat(),
      ...tail,
    ]).flat();
    // The difference, the product, its square and the sum of squares, the root, the quotient, the last product. What
    // cancels in the difference is exact: both are f16 or near one another.
    expectClose(bench.floats(output), expected, () => (partSize / 4 + 12) * F32_EPSILON, 'standardise');
  });
}

function workspaceSuite(module: WebAssembly.Module): void {
  describe('LinearWorkspace', () => {
    const shape = { numLabels: 3, featureSize: 8, partSize: 8, batchRowsMax: 4 };

    it('computes logits and adds gradients of a batch, with an intercept', () => {
      const workspace = new LinearWorkspace(module, shape);
      workspace.scales.fill(1);
      workspace.features.set(Array.from({ length: 8 }, (_, col) => f32ToF16(col === 1 ? 5 : 0)));
      workspace.weights[workspace.cols + 1] = 2;
      workspace.weights[workspace.cols + 8] = 0.5;
      workspace.standardise(1);
      workspace.computeLogits(1);
      expect([...workspace.logits.subarray(0, 3)]).toEqual([0, 2.5, 0]);
      workspace.gradient.fill(1);
      workspace.logits.set([0, 0, 3]);
      workspace.addGradient(1);
      expect([...workspace.gradient.subarray(0, 2 * workspace.cols)]).toEqual(
        Array.from({ length: 2 * workspace.cols }, () => 1),
      );
      const last = [...workspace.gradient.subarray(2 * workspace.cols)];
      expect(last).toEqual([1, 4, 1, 1, 1, 1, 1, 1, 4, 1, 1, 1, 1, 1, 1, 1]);
    });

    it('refuses a batch that is empty or too large, and shapes that the kernels cannot take', () => {
      const workspace = new LinearWorkspace(module, shape);
      expect(() => workspace.standardise(4)).not.toThrow();
      expect(() => workspace.standardise(5)).toThrow('5 rows in a batch of at most 4');
      expect(() => workspace.computeLogits(0)).toThrow('0 rows');
      expect(() => new LinearWorkspace(module, { ...shape, partSize: 2 })).toThrow('no multiple of 4');
      expect(() => new LinearWorkspace(module, { ...shape, featureSize: 12 })).toThrow('no multiple of partSize 8');
      expect(() => new LinearWorkspace(module, { ...shape, numLabels: 0 })).toThrow('numLabels');
    });
  });
}
