/** Matrix products: every number of tokens around the kernels' tiles, rows around the tile, columns of 1 to 48 groups. */
import { describe, expect, it } from 'vitest';
import { F32_BYTES, GROUP_COLS, QD8_GROUP_BYTES, QD8_SPLIT_GROUP_BYTES, QUAD_COLS } from '../assembly/layout.ts';
import { decodedTileBytes } from '../host/arena.ts';
import { f32ToF16 } from '../host/f16.ts';
import { packQb8w } from '../host/pack.ts';
import { dequantise } from '../reference/quantise.ts';
import { expectClose, expectVaried, F32_EPSILON, KernelBench, runVariants } from './kernel-bench.ts';
import { qd8Group, qd8SplitGroup } from './qd8-group.ts';
import { randomQb4w, randomQb8w } from './random-model.ts';
import { Random } from './random.ts';

const NUM_TOKENS = [1, 2, 3, 4, 5, 6, 7, 8, 9, 13];
/** The most tokens for which qb4w weights are decoded tile by tile of tokens, and more, with every number left over. */
const QB4W_NUM_TOKENS = [...NUM_TOKENS, 15, 16, 17, 18, 19];
const QB4W_ROWS = [8, 16, 24, 40, 64];
const QB8W_ROWS = [1, 3, 4, 5, 7, 8, 9, 15, 16, 17, 41];
const COLS = [32, 64, 96, 160, 576, 1536];
const SEED = 7919;

/** Activations as the kernels take them, and the values they stand for. */
interface Activations {
  readonly packed: Uint8Array;
  readonly values: Float64Array;
}

export function gemmSuite(module: WebAssembly.Module): void {
  describe('qd8_f32_qb4w_gemm', () => {
    const cases = QB4W_ROWS.flatMap((rows) => COLS.map((cols) => ({ rows, cols, seed: SEED + rows * cols })));
    it.each(cases)('[$rows, $cols], seed $seed', ({ rows, cols, seed }) => {
      const random = new Random(seed);
      const packed = randomQb4w(rows, cols, random);
      const weights = dequantise({ name: 'weights', shape: [rows, cols], format: 'qb4w' }, packed);
      expectVaried(packed, 'weights');
      for (const numTokens of QB4W_NUM_TOKENS) {
        const activations = randomQd8(numTokens, cols, random);
        checkGemm(module, 'qd8_f32_qb4w_gemm', activations, packed, weights, numTokens, rows, cols);
      }
    });
  });

  describe('qd8_f32_qb8w_gemm', () => {
    const cases = QB8W_ROWS.flatMap((rows) => COLS.map((cols) => ({ rows, cols, seed: SEED + rows * cols })));
    it.each(cases)('[$rows, $cols], seed $seed', ({ rows, cols, seed }) => {
      const random = new Random(seed);
      const packed = randomQb8w(rows, cols, random);
      const weights = dequantise({ name: 'weights', shape: [rows, cols], format: 'qb8w' }, packed);
      for (const numTokens of NUM_TOKENS) {
        const activations = randomQd8Split(numTokens, cols, random);
        checkGemm(module, 'qd8_f32_qb8w_gemm', activations, packed, weights, numTokens, rows, cols);
      }
    });

    it.each([2, 4])('is exact at the extremes of both operands, for %i tokens', (numTokens) => {
      const [rows, cols] = [8, 32];
      const quants = Int8Array.from({ length: rows * cols }, (_, index) => (Math.floor(index / cols) % 2 ? 127 : -128));
      const packed = packQb8w(rows, cols, quants, new Uint16Array(rows).fill(f32ToF16(1)));
      const weights = dequantise({ name: 'weights', shape: [rows, cols], format: 'qb8w' }, packed);
      const activations = packQd8Split(
        numTokens,
        Array.from({ length: numTokens * cols }, (_, index) => (Math.floor(index / cols) % 2 ? -127 : 127)),
        Array.from({ length: numTokens }, (_, token) => token + 1),
      );
      checkGemm(module, 'qd8_f32_qb8w_gemm', activations, packed, weights, numTokens, rows, cols);
    });
  });
}

function checkGemm(
  module: WebAssembly.Module,
  name: 'qd8_f32_qb4w_gemm' | 'qd8_f32_qb8w_gemm',
  activations: Activations,
  packed: Uint8Array,
  weights: Float64Array,
  numTokens: number,
  rows: number,
  cols: number,
): void {
  const message = `${name} [${rows}, ${cols}] for ${numTokens} tokens`;
  const bench = new KernelBench(module);
  const input = bench.input(activations.packed);
  const matrix = bench.input(packed);
  const decoded = bench.output(decodedTileBytes(cols));
  const output = runVariants(
    bench,
    name,
    numTokens * rows * F32_BYTES,
    (kernel, to) => kernel(to, input.address, matrix.address, numTokens, rows, cols, decoded.address),
    message,
  );
  const expected = new Float64Array(numTokens * rows);
  const magnitude = new Float64Array(numTokens * rows);
  for (let token = 0; token < numTokens; token++) {
    for (let row = 0; row < rows; row++) {
      let [sum, absolute] = [0, 0];
      for (let col = 0; col < cols; col++) {
        const term = (weights[row * cols + col] ?? 0) * (activations.values[token * cols + col] ?? 0);
        sum += term;
        absolute += Math.abs(term);
      }
      expected[token * rows + row] = sum;
      magnitude[token * rows + row] = absolute;
    }
  }
  // Scale and minimum are added apart: their terms may each be as large as the largest weight's, 15 times what cancels.
  const cancellation = name === 'qd8_f32_qb4w_gemm' ? 16 : 1;
  const numRoundings = 2 * (cols / GROUP_COLS) + 4;
  expectClose(
    bench.floats(output),
    expected,
    (index) => numRoundings * F32_EPSILON * cancellation * (magnitude[index] ?? 0),
    message,
  );
  if (rows * numTokens > 8) {
    expectVaried(bench.floats(output), message);
  }
  expect(bench.floats(output).every(Number.isFinite), message).toBe(true);
}

function randomQd8(numTokens: number, cols: number, random: Random): Activations {
  const numGroups = cols / GROUP_COLS;
  const packed = new Uint8Array(numTokens * numGroups * QD8_GROUP_BYTES);
  const view = new DataView(packed.buffer);
  const values = new Float64Array(numTokens * cols);
  for (let token = 0; token < numTokens; token++) {
    for (let group = 0; group < numGroups; group++) {
      const { quadAt, scaleAt, sumAt } = qd8Group(token, numTokens, group, numGroups);
      const scale = Math.fround(random.unit() * 0.05);
      let sum = 0;
      for (let col = 0; col < GROUP_COLS; col++) {
        const quant = random.integer(-127, 127);
        sum += quant;
        view.setInt8(quadAt(Math.floor(col / QUAD_COLS)) + (col % QUAD_COLS), quant);
        values[token * cols + group * GROUP_COLS + col] = quant * scale;
      }
      view.setFloat32(scaleAt, scale, true);
      view.setFloat32(sumAt, Math.fround(scale * sum), true);
    }
  }
  return { packed, values };
}

function randomQd8Split(numTokens: number, cols: number, random: Random): Activations {
  const quants = Array.from({ length: numTokens * cols }, () => random.integer(-127, 127));
  const scales = Array.from({ length: quants.length / GROUP_COLS }, () => Math.fround(random.unit() * 0.05));
  return packQd8Split(numTokens, quants, scales);
}

/**
 * @param quants `[numTokens][cols]`
 * @param scales `[numTokens][cols / 32]`
 */
function packQd8Split(numTokens: number, quants: readonly number[], scales: readonly number[]): Activations {
  const packed = new Uint8Array(scales.length * QD8_SPLIT_GROUP_BYTES);
  const view = new DataView(packed.buffer);
  const numGroups = scales.length / numTokens;
  for (const [index, scale] of scales.entries()) {
    const token = Math.floor(index / numGroups);
    const { magnitudeAt, signsOffset, ...at } = qd8SplitGroup(token, numTokens, index % numGroups, numGroups);
    let negatives = 0;
    for (let col = 0; col < GROUP_COLS; col++) {
      const quant = quants[index * GROUP_COLS + col] ?? 0;
      view.setUint8(magnitudeAt(col), Math.abs(quant));
      view.setInt8(magnitudeAt(col) + signsOffset, quant < 0 ? -1 : 0);
      negatives += Math.max(-quant, 0);
    }
    view.setFloat32(at.scaleAt, scale, true);
    view.setInt32(at.negativesAt, negatives, true);
  }
  const values = Float64Array.from(quants, (quant, index) => quant * (scales[Math.floor(index / GROUP_COLS)] ?? 0));
  return { packed, values };
}
