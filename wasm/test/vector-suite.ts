/** Kernels on vectors: exp, RMS norm, rotary embedding, SwiGLU, addition, quantisation, embedding rows. */
import { describe, expect, it } from 'vitest';
import { F32_BYTES, GROUP_COLS, QD8_GROUP_BYTES, QD8_SPLIT_GROUP_BYTES, QUAD_COLS } from '../assembly/layout.ts';
import type { KernelSignatures } from '../host/kernels.ts';
import { rmsNorm, rope, swiglu } from '../reference/ops.ts';
import { dequantise } from '../reference/quantise.ts';
import { expectClose, expectVaried, F32_EPSILON, KernelBench, runVariants } from './kernel-bench.ts';
import { qd8Group, qd8SplitGroup } from './qd8-group.ts';
import { randomQb8w } from './random-model.ts';
import { Random } from './random.ts';

const SIZES = [4, 8, 12, 16, 20, 28, 32, 36, 64, 96, 160, 576, 1536];
/** Of the kernels that compute powers, 16 at a time. */
const POWER_SIZES = SIZES.filter((size) => size % 16 === 0);
const GROUPED_SIZES = SIZES.filter((size) => size % GROUP_COLS === 0);
const HEAD_DIMS = [16, 32, 48, 64, 80, 96, 128];
/** Around a tile of tokens. */
const QUANTISE_TOKENS = [1, 2, 3, 4, 5, 8, 11];
const SEED = 6007;
/** Errors of the polynomial and of scaling it, in units in the last place: see exp.ts. */
const EXP_ULP = 2;
const QUANT8_MAX = 127;

function randomFloats(size: number, random: Random, deviation = 1): Float32Array<ArrayBuffer> {
  const values = Float32Array.from({ length: size }, () => random.normal() * deviation);
  expectVaried(values, 'random floats');
  return values;
}

export function vectorSuite(module: WebAssembly.Module): void {
  expSuite(module);
  elementwiseSuite(module);
  normSuite(module);
  ropeSuite(module);
  quantiseSuite(module);
  gatherSuite(module);
}

function expSuite(module: WebAssembly.Module): void {
  describe('f32_exp', () => {
    const run = (inputs: Float32Array): Float32Array => {
      const bench = new KernelBench(module);
      const input = bench.input(inputs);
      const call = (kernel: (to: number, from: number, size: number) => void, to: number): void =>
        kernel(to, input.address, inputs.length);
      return bench.floats(runVariants(bench, 'f32_exp', inputs.byteLength, call, 'exp'));
    };

    it('stays within 2 ulp over its range', () => {
      const numSteps = 40_000;
      const inputs = Float32Array.from({ length: numSteps }, (_, step) => -87 + (step / numSteps) * 175);
      expectClose(
        run(inputs),
        Float64Array.from(inputs, Math.exp),
        (index) => EXP_ULP * 2 * F32_EPSILON * Math.exp(inputs[index] ?? 0),
        'exp',
      );
    });

    it('is 1 at 0, 0 far below, finite far above, NaN for NaN', () => {
      const inputs = new Float32Array(16);
      inputs.set([0, -0, -87.5, -1e30, -Infinity, 89, Infinity, NaN]);
      const results = run(inputs);
      expect([...results.subarray(0, 5)]).toEqual([1, 1, 0, 0, 0]);
      expect(results[5]).toBe(results[6]);
      expect(results[5]).toBeGreaterThan(2e38);
      expect(results[5]).toBeLessThan(Infinity);
      expect(results[7]).toBeNaN();
    });
  });
}

function elementwiseSuite(module: WebAssembly.Module): void {
  it.each(SIZES)('f32_add of %i', (size) => {
    const random = new Random(SEED + size);
    const [a, b] = [randomFloats(size, random), randomFloats(size, random)];
    const bench = new KernelBench(module);
    const addend = bench.input(b);
    const sum = runVariants(bench, 'f32_add', a, (kernel, to) => kernel(to, addend.address, size), 'add');
    expect([...bench.floats(sum)]).toEqual([...a].map((value, index) => Math.fround(value + (b[index] ?? 0))));
  });

  it.each(POWER_SIZES)('f32_swiglu of %i', (size) => {
    const random = new Random(SEED + size);
    const gate = randomFloats(size, random, 4);
    gate.set([0, -100, 100, -20]);
    const up = randomFloats(size, random);
    const bench = new KernelBench(module);
    const upInput = bench.input(up);
    const output = runVariants(bench, 'f32_swiglu', gate, (kernel, to) => kernel(to, upInput.address, size), 'swiglu');
    const expected = swiglu(Float64Array.from(gate), Float64Array.from(up));
    // exp, then an addition, a division and a multiplication. Below -88 the result is only nearly zero.
    const relative = (2 * EXP_ULP + 3) * F32_EPSILON;
    const vanishing = 1e-35;
    expectClose(bench.floats(output), expected, (i) => relative * Math.abs(expected[i] ?? 0) + vanishing, 'swiglu');
  });
}

function normSuite(module: WebAssembly.Module): void {
  it.each(SIZES)('f32_rms_norm of %i', (size) => {
    const random = new Random(SEED + size);
    const eps = Math.fround(1e-5);
    for (const deviation of [1e-3, 1, 100]) {
      const [values, weight] = [randomFloats(size, random, deviation), randomFloats(size, random)];
      const bench = new KernelBench(module);
      const [input, weightInput] = [bench.input(values), bench.input(weight)];
      const output = runVariants(
        bench,
        'f32_rms_norm',
        size * F32_BYTES,
        (kernel, to) => kernel(to, input.address, weightInput.address, size, eps),
        'rms_norm',
      );
      const expected = rmsNorm(Float64Array.from(values), Float64Array.from(weight), eps);
      // A quarter of the squares per lane; their error is halved by the root. Then mean, eps, root, 1 / x, two products.
      const relative = (size / 4 + 4) * F32_EPSILON + 6 * F32_EPSILON;
      expectClose(
        bench.floats(output),
        expected,
        (i) => relative * Math.abs(expected[i] ?? 0),
        `deviation ${deviation}`,
      );
    }
  });
}

function ropeSuite(module: WebAssembly.Module): void {
  it.each(HEAD_DIMS)('f32_rope with headDim %i', (headDim) => {
    const random = new Random(SEED + headDim);
    const [numHeads, position, theta] = [3, 1234, 10_000];
    const heads = randomFloats(numHeads * headDim, random);
    const angles = Array.from({ length: headDim / 2 }, (_, pair) => position * theta ** ((-2 * pair) / headDim));
    const bench = new KernelBench(module);
    const rotation = bench.input(Float32Array.from([...angles.map(Math.cos), ...angles.map(Math.sin)]));
    const call = (kernel: (...numbers: [number, number, number, number]) => void, to: number): void =>
      kernel(to, rotation.address, numHeads, headDim);
    const output = bench.floats(runVariants(bench, 'f32_rope', heads, call, 'rope'));
    for (let head = 0; head < numHeads; head++) {
      const original = Float64Array.from(heads.subarray(head * headDim, (head + 1) * headDim));
      const expected = rope(original, position, theta);
      const largest = Math.max(...original.map(Math.abs));
      // Rounding of cosine or sine, of a product and of the sum, for each of two products.
      const tolerance = 2 * 3 * F32_EPSILON * largest;
      expectClose(output.subarray(head * headDim, (head + 1) * headDim), expected, () => tolerance, `head ${head}`);
    }
  });
}

function quantiseSuite(module: WebAssembly.Module): void {
  const cases = GROUPED_SIZES.flatMap((size) => [1e-20, 0.01, 1, 1000].map((deviation) => ({ size, deviation })));

  it.each(cases)('f32_qd8_quantise of $size, deviation $deviation', ({ size, deviation }) => {
    const numGroups = size / GROUP_COLS;
    for (const numTokens of QUANTISE_TOKENS) {
      const values = randomFloats(numTokens * size, new Random(SEED + size), deviation);
      const view = new DataView(quantise(module, values, numTokens).buffer);
      for (let index = 0; index < numTokens * numGroups; index++) {
        const token = Math.floor(index / numGroups);
        const { quadAt, scaleAt, sumAt } = qd8Group(token, numTokens, index % numGroups, numGroups);
        const quants = Array.from({ length: GROUP_COLS }, (_, col) =>
          view.getInt8(quadAt(Math.floor(col / QUAD_COLS)) + (col % QUAD_COLS)),
        );
        const scale = view.getFloat32(scaleAt, true);
        expectQuantised(values.subarray(index * GROUP_COLS, (index + 1) * GROUP_COLS), quants, scale);
        const sum = quants.reduce((a, b) => a + b, 0);
        expect(view.getFloat32(sumAt, true)).toBe(Math.fround(scale * sum));
      }
    }
  });

  it.each(cases)('f32_qd8_quantise_split of $size, deviation $deviation', ({ size, deviation }) => {
    const numGroups = size / GROUP_COLS;
    for (const numTokens of QUANTISE_TOKENS) {
      const values = randomFloats(numTokens * size, new Random(SEED + size), deviation);
      const view = new DataView(quantise(module, values, numTokens, 'f32_qd8_quantise_split').buffer);
      for (let index = 0; index < numTokens * numGroups; index++) {
        const token = Math.floor(index / numGroups);
        const { magnitudeAt, signsOffset, ...at } = qd8SplitGroup(token, numTokens, index % numGroups, numGroups);
        const quants = Array.from({ length: GROUP_COLS }, (_, col) => {
          const sign = view.getInt8(magnitudeAt(col) + signsOffset);
          expect(sign === 0 || sign === -1, `sign ${sign}`).toBe(true);
          return view.getUint8(magnitudeAt(col)) * (sign === 0 ? 1 : -1);
        });
        const scale = view.getFloat32(at.scaleAt, true);
        expectQuantised(values.subarray(index * GROUP_COLS, (index + 1) * GROUP_COLS), quants, scale);
        const negatives = quants.reduce((sum, quant) => sum + Math.max(-quant, 0), 0);
        expect(view.getInt32(at.negativesAt, true)).toBe(negatives);
      }
    }
  });

  it('f32_qd8_quantise makes zeros of zeros and of what is too small to divide by', () => {
    for (const value of [0, 1e-32, 1e-44]) {
      const packed = quantise(module, new Float32Array(GROUP_COLS).fill(value), 1);
      expect(packed.every((byte) => byte === 0)).toBe(true);
    }
  });

  it('f32_qd8_quantise rounds ties to even', () => {
    const values = new Float32Array(GROUP_COLS);
    values.set([127, 0.5, 1.5, 2.5, -0.5, -1.5, -2.5]);
    const packed = quantise(module, values, 1);
    expect([...new Int8Array(packed.buffer, packed.byteOffset, 7)]).toEqual([127, 0, 2, 2, 0, -2, -2]);
  });
}

/** @returns a copy of the qd8 matrix `[numTokens][values.length / numTokens]` */
function quantise(
  module: WebAssembly.Module,
  values: Float32Array,
  numTokens: number,
  name: 'f32_qd8_quantise' | 'f32_qd8_quantise_split' = 'f32_qd8_quantise',
): Uint8Array<ArrayBuffer> {
  const bench = new KernelBench(module);
  const input = bench.input(values);
  const groupBytes = name === 'f32_qd8_quantise' ? QD8_GROUP_BYTES : QD8_SPLIT_GROUP_BYTES;
  const bytes = (values.length / GROUP_COLS) * groupBytes;
  const call = (kernel: KernelSignatures[typeof name], to: number): void =>
    kernel(to, input.address, numTokens, values.length / numTokens);
  return bench.bytes(runVariants(bench, name, bytes, call, `${numTokens} tokens`)).slice();
}

/** Scale is the largest magnitude / 127, and every quant the nearest. */
export function expectQuantised(values: Float32Array, quants: readonly number[], scale: number): void {
  const largest = Math.max(...values.map(Math.abs));
  expectClose([scale], [largest / QUANT8_MAX], () => 2 * F32_EPSILON * scale, 'scale');
  expect(Math.max(...quants.map(Math.abs))).toBe(QUANT8_MAX);
  // Half a quant, and the roundings of the inverse scale and of the product, in quants.
  const tolerance = 0.5 + 3 * F32_EPSILON * QUANT8_MAX;
  expectClose(
    quants,
    Float64Array.from(values, (value) => (value / largest) * QUANT8_MAX),
    () => tolerance,
    'quants',
  );
}

function gatherSuite(module: WebAssembly.Module): void {
  it.each(GROUPED_SIZES)('qb8w_f32_gather of %i columns, every row', (cols) => {
    const rows = 19;
    const packed = randomQb8w(rows, cols, new Random(SEED + cols));
    const values = dequantise({ name: 'embedding', shape: [rows, cols], format: 'qb8w' }, packed);
    for (let row = 0; row < rows; row++) {
      const bench = new KernelBench(module);
      const matrix = bench.input(packed);
      const output = runVariants(
        bench,
        'qb8w_f32_gather',
        cols * F32_BYTES,
        (kernel, to) => kernel(to, matrix.address, row, cols),
        `row ${row}`,
      );
      const expected = values.subarray(row * cols, (row + 1) * cols);
      expect([...bench.floats(output)]).toEqual([...expected].map(Math.fround));
    }
  });
}
