/** KV pages and attention: every slot and length around a page, every ratio of query to KV heads, permuted pages. */
import { describe, expect, it } from 'vitest';
import { F32_BYTES, KV_QUAD, KV_QUAD_BYTES, PAGE_TOKENS, VALUE_QUAD_BYTES } from '../assembly/layout.ts';
import { attentionScratchBytes, pagePartBytes } from '../host/arena.ts';
import { attention, dot, softmax } from '../reference/ops.ts';
import { type Buffer, expectClose, F32_EPSILON, KernelBench, runVariants } from './kernel-bench.ts';
import { Random } from './random.ts';
import { expectQuantised } from './vector-suite.ts';

const HEAD_DIMS = [16, 32, 48, 64, 128];
const NUM_HEADS = [1, 2, 3, 4, 5, 7, 8, 9];
const LENGTHS = [1, 2, 3, 4, 5, 15, 16, 17, 31, 32, 33, 63, 100];
const SEED = 4241;
const QUERY_QUANT_MAX = 8191;
const WEIGHT_QUANT_MAX = 16383;
/** Relative error of the polynomial for e^x in softmax.ts, and of rounding x log2(e), which is at most 87. */
const POWER_ERROR = 2.9e-6 + 87 * 2 ** -24;
/** What a page may hold where no token was written: bytes of an earlier owner, read as f32 a NaN. */
const STALE = 0xff;

/** Reads a token's key and value from the parts of a page, as docs/kernels.md draws them. */
function readToken(
  keys: Uint8Array,
  values: Uint8Array,
  slot: number,
  headDim: number,
): { key: Quantised; value: Quantised } {
  const viewOf = ({ buffer, byteOffset, byteLength }: Uint8Array): DataView =>
    new DataView(buffer, byteOffset, byteLength);
  const [keyView, valueView] = [viewOf(keys), viewOf(values)];
  const scaleAt = headDim * PAGE_TOKENS + slot * F32_BYTES;
  const dims = Array.from({ length: headDim }, (_, dim) => dim);
  const quadOf = (dim: number): number => Math.floor(dim / KV_QUAD) * KV_QUAD_BYTES;
  const keyByte = (dim: number): number => quadOf(dim) + slot * KV_QUAD + (dim % KV_QUAD);
  const valueByte = (dim: number): number => {
    const tokens = quadOf(dim) + Math.floor(slot / KV_QUAD) * VALUE_QUAD_BYTES;
    return tokens + (dim % KV_QUAD) * KV_QUAD + (slot % KV_QUAD);
  };
  return {
    key: { quants: dims.map((dim) => keyView.getInt8(keyByte(dim))), scale: keyView.getFloat32(scaleAt, true) },
    value: {
      quants: dims.map((dim) => valueView.getInt8(valueByte(dim))),
      scale: valueView.getFloat32(scaleAt, true),
    },
  };
}

interface Quantised {
  readonly quants: readonly number[];
  readonly scale: number;
}

function valuesOf({ quants, scale }: Quantised): Float64Array {
  return Float64Array.from(quants, (quant) => quant * scale);
}

export function attentionSuite(module: WebAssembly.Module): void {
  describe('f32_kv8_write', () => {
    it.each(HEAD_DIMS)('fills a page of headDim %i slot by slot and nothing else', (headDim) => {
      const random = new Random(SEED + headDim);
      const bench = new KernelBench(module);
      const partBytes = pagePartBytes(headDim);
      let page = new Uint8Array(2 * partBytes).fill(STALE);
      const tokens = Array.from({ length: PAGE_TOKENS }, () => ({
        key: Float32Array.from({ length: headDim }, () => random.normal()),
        value: Float32Array.from({ length: headDim }, () => random.normal() * 3),
      }));
      for (const [slot, { key, value }] of tokens.entries()) {
        const [keyInput, valueInput] = [bench.input(key), bench.input(value)];
        const output = runVariants(
          bench,
          'f32_kv8_write',
          page,
          (kernel, to) => kernel(to, to + partBytes, slot, keyInput.address, valueInput.address, headDim),
          `slot ${slot}`,
        );
        const numChanged = bench.bytes(output).filter((byte, at) => byte !== page[at]).length;
        expect(numChanged, `slot ${slot}`).toBeLessThanOrEqual(2 * (headDim + F32_BYTES));
        page = bench.bytes(output).slice();
      }
      for (const [slot, { key, value }] of tokens.entries()) {
        const stored = readToken(page.subarray(0, partBytes), page.subarray(partBytes), slot, headDim);
        expectQuantised(key, stored.key.quants, stored.key.scale);
        expectQuantised(value, stored.value.quants, stored.value.scale);
      }
    });
  });

  describe('f32_kv8_attention', () => {
    const cases = HEAD_DIMS.flatMap((headDim) => NUM_HEADS.map((numHeads) => ({ headDim, numHeads })));
    it.each(cases)('$numHeads query heads of $headDim over every length', ({ headDim, numHeads }) => {
      for (const length of LENGTHS) {
        checkAttention(module, numHeads, headDim, length, 1);
      }
    });

    it('stays exact enough when one key takes nearly all the weight', () => {
      for (const length of LENGTHS) {
        checkAttention(module, 3, 64, length, 12);
      }
    });

    it('stays finite where scores lie further apart than weights reach, and where all values are zeros', () => {
      checkAttention(module, 3, 64, 40, 300);
      checkAttention(module, 3, 64, 40, 1, 0);
    });
  });
}

function checkAttention(
  module: WebAssembly.Module,
  numHeads: number,
  headDim: number,
  length: number,
  queryDeviation: number,
  valueDeviation = 1,
): void {
  const seed = SEED + numHeads * 10_000 + headDim * 100 + length;
  const message = `${numHeads} heads of ${headDim}, length ${length}, deviation ${queryDeviation}, seed ${seed}`;
  const random = new Random(seed);
  const bench = new KernelBench(module);
  const numPages = Math.ceil(length / PAGE_TOKENS);
  // Pages lie in another order than positions, and some belong to other sequences.
  const pageTable = Uint32Array.from({ length: numPages }, (_, index) => numPages + 2 - index);
  expect(new Set(pageTable).size).toBe(numPages);
  const poolOfStale = (): Buffer => bench.input(new Uint8Array((numPages + 5) * pagePartBytes(headDim)).fill(STALE));
  const pools: KvPools = { keys: poolOfStale().address, values: poolOfStale().address };
  const kv = fillPages(bench, pools, pageTable, headDim, length, valueDeviation, random);
  const queries = Float32Array.from({ length: numHeads * headDim }, () => random.normal() * queryDeviation);

  const scoresStride = numPages * PAGE_TOKENS + PAGE_TOKENS;
  const table = bench.input(pageTable);
  const scratch = bench.output(attentionScratchBytes(numHeads, headDim)).address;
  const scores = bench.output(numHeads * scoresStride * F32_BYTES).address;
  const scale = Math.fround(1 / Math.sqrt(headDim));
  const output = runVariants(
    bench,
    'f32_kv8_attention',
    queries,
    (kernel, to) =>
      kernel(
        ...([to, numHeads, headDim, pools.keys, pools.values, table.address, length, scale] as const),
        ...([scratch, scores, scoresStride] as const),
      ),
    message,
  );
  for (let head = 0; head < numHeads; head++) {
    const query = Float64Array.from(queries.subarray(head * headDim, (head + 1) * headDim));
    const actual = bench.floats(output).subarray(head * headDim, (head + 1) * headDim);
    const expected = attention(
      query,
      kv.map(({ key }) => valuesOf(key)),
      kv.map(({ value }) => valuesOf(value)),
    );
    const tolerances = attentionTolerance(query, kv);
    expectClose(actual, expected, (dim) => tolerances[dim] ?? 0, `${message}, head ${head}`);
  }
}

/** Addresses of page 0's keys and values. */
interface KvPools {
  readonly keys: number;
  readonly values: number;
}

interface StoredToken {
  readonly key: Quantised;
  readonly value: Quantised;
}

function fillPages(
  bench: KernelBench,
  pools: KvPools,
  pageTable: Uint32Array,
  headDim: number,
  length: number,
  valueDeviation: number,
  random: Random,
): StoredToken[] {
  return Array.from({ length }, (_, position) => {
    const key = bench.input(Float32Array.from({ length: headDim }, () => random.normal()));
    const value = bench.input(
      Float32Array.from({ length: headDim }, () => random.normal() * (0.1 + random.unit()) * valueDeviation),
    );
    const offset = (pageTable[Math.floor(position / PAGE_TOKENS)] ?? 0) * pagePartBytes(headDim);
    const [keys, values] = [pools.keys + offset, pools.values + offset];
    const slot = position % PAGE_TOKENS;
    bench.kernels.f32_kv8_write__scalar(keys, values, slot, key.address, value.address, headDim);
    const partAt = (address: number): Uint8Array => bench.bytes({ address, bytes: pagePartBytes(headDim) });
    return readToken(partAt(keys), partAt(values), slot, headDim);
  });
}

/** The most that the kernel's own roundings can move each element of the result. */
function attentionTolerance(query: Float64Array, kv: readonly StoredToken[]): Float64Array {
  const numPages = Math.ceil(kv.length / PAGE_TOKENS);
  const largestQuery = Math.max(...query.map(Math.abs));
  const rootDim = Math.sqrt(query.length);
  const scores = Float64Array.from(kv, ({ key }) => dot(query, valuesOf(key)) / rootDim);
  // A query's element is off by half a quant and by roundings of its scale; a score by four roundings more.
  const scoreErrors = kv.map(({ key }, position) => {
    const keySum = valuesOf(key).reduce((sum, value) => sum + Math.abs(value), 0);
    const querySlip = (largestQuery / QUERY_QUANT_MAX) * (0.5 + 3 * F32_EPSILON * QUERY_QUANT_MAX);
    return (keySum * querySlip) / rootDim + 6 * F32_EPSILON * Math.abs(scores[position] ?? 0);
  });
  // The largest score is subtracted: one rounding of a difference as large as the spread of scores.
  const spread = Math.max(...scores) - Math.min(...scores);
  const scoreError = 2 * Math.max(...scoreErrors) + 2 * F32_EPSILON * spread;
  // The error of a power enters twice, by itself and by the sum; the sum runs over a quarter of the positions per lane.
  const relative = Math.expm1(2 * scoreError) + 2 * POWER_ERROR + (8 + kv.length / 4 + numPages + 10) * F32_EPSILON;
  const powers = softmax(scores);
  const weights = kv.map(({ value }, position) => (powers[position] ?? 0) * value.scale);
  const pageMaxima = Array.from({ length: numPages }, (_, page) =>
    Math.max(...weights.slice(page * PAGE_TOKENS, (page + 1) * PAGE_TOKENS)),
  );
  return Float64Array.from(query, (_, dim) => {
    let tolerance = 0;
    for (const [position, { value }] of kv.entries()) {
      const quant = Math.abs(value.quants[dim] ?? 0);
      const pageMax = pageMaxima[Math.floor(position / PAGE_TOKENS)] ?? 0;
      tolerance += (weights[position] ?? 0) * quant * relative;
      tolerance += (0.5 / WEIGHT_QUANT_MAX) * pageMax * (1 + relative) * quant;
    }
    return tolerance;
  });
}
