/**
 * Attention of one token over its sequence's paged, int8 keys and values, for the query heads that share a KV head.
 *
 * Queries and softmax weights are quantised to 14 bits and cut into two 7-bit halves, so that both products are exact
 * relaxed dot products with the int8 keys and values. What is summed in f32 is summed in the order of positions. So the
 * result depends on the token's own query and its sequence alone, whatever the step holds besides. Keys are read once
 * for all heads, then values once.
 */
import { partBytes, scalesOffset } from './kv-write';
import {
  F32_BYTES,
  KV_QUAD,
  KV_QUAD_BYTES,
  PAGE_TOKENS,
  PAGE_TOKENS_F32_BYTES,
  QUERY_BYTES_PER_DIM,
  QUERY_FACTOR,
  QUERY_POWER_SUM,
  QUERY_STATE_BYTES,
  VALUE_QUAD_BYTES,
} from './layout';
import { absMax__simd128, inverseScale4, loadRound, quantise4, scaleOf4 } from './quantise';
import { WEIGHT_LOW, WEIGHT_SCALE, weighPages } from './softmax';

/** Largest magnitude of a query's quants: with the bias, they fill 14 bits. */
export const QUERY_QUANT_MAX: f32 = 8191;
/** Added to a query's quants, since a 7-bit half cannot be negative; its share of each dot product is taken off again. */
const QUERY_BIAS: i32 = 8192;
const HALF_BITS: i32 = 7;
const HALF_MASK: i32 = 0x7f;
export const PAGE_TABLE_ENTRY_BYTES: usize = 4;
const VECTOR_BYTES: usize = 16;

/**
 * @param heads f32 `[numHeads][headDim]`: the rotated queries, replaced by the result
 * @param keyPages this layer's and KV head's keys of page 0; those of page n are n parts further
 * @param valuePages its values, in the same way
 * @param pageTable u32 page index for each 16 positions
 * @param length positions attended to, the token's own the last
 * @param scoreScale 1 / sqrt(headDim)
 * @param queries scratch: for each head its quants and `QUERY_STATE_BYTES`, then `KEY_BIAS_BYTES`
 * @param scores scratch, f32 `[numHeads][scoresStride]`; `scoresStride` a multiple of 16, at least `length`
 */
export function f32_kv8_attention__simd128(
  heads: usize,
  numHeads: i32,
  headDim: i32,
  keyPages: usize,
  valuePages: usize,
  pageTable: usize,
  length: i32,
  scoreScale: f32,
  queries: usize,
  scores: usize,
  scoresStride: i32,
): void {
  const numPages = (length + PAGE_TOKENS - 1) / PAGE_TOKENS;
  const pageBytes = partBytes(headDim);
  const queryBytes: usize = headDim * QUERY_BYTES_PER_DIM + QUERY_STATE_BYTES;
  const headBytes: usize = headDim * F32_BYTES;
  const scoresBytes: usize = scoresStride * F32_BYTES;
  const keyBias = queries + numHeads * queryBytes;
  for (let head = 0; head < numHeads; head++) {
    quantiseQuery(queries + head * queryBytes, heads + head * headBytes, headDim, scoreScale);
  }
  for (let page = 0; page < numPages; page++) {
    const keys = keyPages + load<u32>(pageTable + page * PAGE_TABLE_ENTRY_BYTES) * pageBytes;
    sumKeys(keyBias, keys, headDim);
    for (let head = 0; head < numHeads; head++) {
      const to = scores + head * scoresBytes + page * PAGE_TOKENS_F32_BYTES;
      scorePage(to, queries + head * queryBytes, keys, keyBias, headDim);
    }
  }
  memory.fill(heads, 0, numHeads * headBytes);
  for (let head = 0; head < numHeads; head++) {
    const headScores = scores + head * scoresBytes;
    const state = queries + head * queryBytes + headDim * QUERY_BYTES_PER_DIM;
    // Scores are done, so what the queries' bias needed is free for the last page's scales.
    weighPages(headScores, state, valuePages + scalesOffset(headDim), pageBytes, pageTable, length, keyBias);
  }
  for (let page = 0; page < numPages; page++) {
    const values = valuePages + load<u32>(pageTable + page * PAGE_TABLE_ENTRY_BYTES) * pageBytes;
    for (let head = 0; head < numHeads; head++) {
      const weights = scores + head * scoresBytes + page * PAGE_TOKENS_F32_BYTES;
      addValues(heads + head * headBytes, weights, values, headDim);
    }
  }
  for (let head = 0; head < numHeads; head++) {
    const state = queries + head * queryBytes + headDim * QUERY_BYTES_PER_DIM;
    divide(heads + head * headBytes, load<f32>(state, QUERY_POWER_SUM), headDim);
  }
}

/** Writes the halves of a query's quants, and its factor. */
function quantiseQuery(output: usize, query: usize, headDim: i32, scoreScale: f32): void {
  const largest = absMax__simd128(query, headDim);
  const quantMax = f32x4.splat(QUERY_QUANT_MAX);
  const inverse = inverseScale4(largest, quantMax);
  const round = loadRound();
  for (let dim = 0; dim < headDim; dim += (2 * VECTOR_BYTES) / F32_BYTES) {
    const from = query + dim * F32_BYTES;
    const quants = i16x8.narrow_i32x4_s(
      quantise4(v128.load(from), inverse, round),
      quantise4(v128.load(from, VECTOR_BYTES), inverse, round),
    );
    const biased = i16x8.add(quants, i16x8.splat(<i16>QUERY_BIAS));
    v128.store64_lane(output + dim, narrowHalf(i16x8.shr_u(biased, HALF_BITS)), 0);
    v128.store64_lane(output + headDim + dim, narrowHalf(v128.and(biased, i16x8.splat(<i16>HALF_MASK))), 0);
  }
  const state = output + headDim * QUERY_BYTES_PER_DIM;
  store<f32>(state, f32x4.extract_lane(scaleOf4(largest, quantMax), 0) * scoreScale, QUERY_FACTOR);
}

function narrowHalf(halves: v128): v128 {
  return i8x16.narrow_i16x8_u(halves, halves);
}

/** What the queries' bias adds to the dot product with each of the 16 keys: the key's sum times the bias. */
function sumKeys(output: usize, keys: usize, headDim: i32): void {
  const one = i8x16.splat(1);
  let sum0 = i32x4.splat(0);
  let sum1 = i32x4.splat(0);
  let sum2 = i32x4.splat(0);
  let sum3 = i32x4.splat(0);
  for (let quad = 0, end = headDim / KV_QUAD; quad < end; quad++) {
    sum0 = i32x4.relaxed_dot_i8x16_i7x16_add_s(v128.load(keys), one, sum0);
    sum1 = i32x4.relaxed_dot_i8x16_i7x16_add_s(v128.load(keys, VECTOR_BYTES), one, sum1);
    sum2 = i32x4.relaxed_dot_i8x16_i7x16_add_s(v128.load(keys, 2 * VECTOR_BYTES), one, sum2);
    sum3 = i32x4.relaxed_dot_i8x16_i7x16_add_s(v128.load(keys, 3 * VECTOR_BYTES), one, sum3);
    keys += KV_QUAD_BYTES;
  }
  const bias = i32x4.splat(QUERY_BIAS);
  v128.store(output, i32x4.mul(sum0, bias));
  v128.store(output, i32x4.mul(sum1, bias), VECTOR_BYTES);
  v128.store(output, i32x4.mul(sum2, bias), 2 * VECTOR_BYTES);
  v128.store(output, i32x4.mul(sum3, bias), 3 * VECTOR_BYTES);
}

/** Scores of one query with the 16 keys of a page. No overflow: 16383 * 128 * headDim < 2^31 for headDim <= 512. */
function scorePage(output: usize, query: usize, keys: usize, keyBias: usize, headDim: i32): void {
  let high0 = i32x4.splat(0);
  let high1 = i32x4.splat(0);
  let high2 = i32x4.splat(0);
  let high3 = i32x4.splat(0);
  let low0 = i32x4.splat(0);
  let low1 = i32x4.splat(0);
  let low2 = i32x4.splat(0);
  let low3 = i32x4.splat(0);
  let at = keys;
  for (let dim = 0; dim < headDim; dim += KV_QUAD) {
    const high = v128.load32_splat(query + dim);
    const low = v128.load32_splat(query + headDim + dim);
    const keys0 = v128.load(at);
    const keys1 = v128.load(at, VECTOR_BYTES);
    const keys2 = v128.load(at, 2 * VECTOR_BYTES);
    const keys3 = v128.load(at, 3 * VECTOR_BYTES);
    high0 = i32x4.relaxed_dot_i8x16_i7x16_add_s(keys0, high, high0);
    low0 = i32x4.relaxed_dot_i8x16_i7x16_add_s(keys0, low, low0);
    high1 = i32x4.relaxed_dot_i8x16_i7x16_add_s(keys1, high, high1);
    low1 = i32x4.relaxed_dot_i8x16_i7x16_add_s(keys1, low, low1);
    high2 = i32x4.relaxed_dot_i8x16_i7x16_add_s(keys2, high, high2);
    low2 = i32x4.relaxed_dot_i8x16_i7x16_add_s(keys2, low, low2);
    high3 = i32x4.relaxed_dot_i8x16_i7x16_add_s(keys3, high, high3);
    low3 = i32x4.relaxed_dot_i8x16_i7x16_add_s(keys3, low, low3);
    at += KV_QUAD_BYTES;
  }
  const factor = v128.load32_splat(query + headDim * QUERY_BYTES_PER_DIM, QUERY_FACTOR);
  const scales = keys + scalesOffset(headDim);
  storeScores(output, 0, high0, low0, keyBias, scales, factor);
  storeScores(output, VECTOR_BYTES, high1, low1, keyBias, scales, factor);
  storeScores(output, 2 * VECTOR_BYTES, high2, low2, keyBias, scales, factor);
  storeScores(output, 3 * VECTOR_BYTES, high3, low3, keyBias, scales, factor);
}

function storeScores(
  output: usize,
  offset: usize,
  high: v128,
  low: v128,
  keyBias: usize,
  scales: usize,
  factor: v128,
): void {
  const dot = i32x4.sub(joinHalves(high, low), v128.load(keyBias + offset));
  const scaled = f32x4.mul(v128.load(scales + offset), factor);
  v128.store(output + offset, f32x4.mul(f32x4.convert_i32x4_s(dot), scaled));
}

function joinHalves(high: v128, low: v128): v128 {
  return i32x4.add(i32x4.shl(high, HALF_BITS), low);
}

/** Adds a page's weighted values to `output`. The integer sum is below 16 * 16383 * 127 < 2^25. */
function addValues(output: usize, weights: usize, values: usize, headDim: i32): void {
  const high0 = v128.load32_splat(weights);
  const high1 = v128.load32_splat(weights, KV_QUAD);
  const high2 = v128.load32_splat(weights, 2 * KV_QUAD);
  const high3 = v128.load32_splat(weights, 3 * KV_QUAD);
  const low0 = v128.load32_splat(weights, WEIGHT_LOW);
  const low1 = v128.load32_splat(weights, WEIGHT_LOW + KV_QUAD);
  const low2 = v128.load32_splat(weights, WEIGHT_LOW + 2 * KV_QUAD);
  const low3 = v128.load32_splat(weights, WEIGHT_LOW + 3 * KV_QUAD);
  const scale = v128.load(weights, WEIGHT_SCALE);
  for (let quad = 0, end = headDim / KV_QUAD; quad < end; quad++) {
    const values0 = v128.load(values);
    const values1 = v128.load(values, VALUE_QUAD_BYTES);
    const values2 = v128.load(values, 2 * VALUE_QUAD_BYTES);
    const values3 = v128.load(values, 3 * VALUE_QUAD_BYTES);
    let dotHigh = i32x4.relaxed_dot_i8x16_i7x16_add_s(values0, high0, i32x4.splat(0));
    let dotLow = i32x4.relaxed_dot_i8x16_i7x16_add_s(values0, low0, i32x4.splat(0));
    dotHigh = i32x4.relaxed_dot_i8x16_i7x16_add_s(values1, high1, dotHigh);
    dotLow = i32x4.relaxed_dot_i8x16_i7x16_add_s(values1, low1, dotLow);
    dotHigh = i32x4.relaxed_dot_i8x16_i7x16_add_s(values2, high2, dotHigh);
    dotLow = i32x4.relaxed_dot_i8x16_i7x16_add_s(values2, low2, dotLow);
    dotHigh = i32x4.relaxed_dot_i8x16_i7x16_add_s(values3, high3, dotHigh);
    dotLow = i32x4.relaxed_dot_i8x16_i7x16_add_s(values3, low3, dotLow);
    const sum = f32x4.mul(f32x4.convert_i32x4_s(joinHalves(dotHigh, dotLow)), scale);
    v128.store(output, f32x4.add(v128.load(output), sum));
    values += KV_QUAD_BYTES;
    output += VECTOR_BYTES;
  }
}

function divide(values: usize, divisor: f32, size: i32): void {
  const divisors = f32x4.splat(divisor);
  for (let at = values, end = values + size * F32_BYTES; at < end; at += VECTOR_BYTES) {
    v128.store(at, f32x4.div(v128.load(at), divisors));
  }
}
