/**
 * Attention of one token over its sequence's paged, int8 keys and values, for the query heads that share a KV head.
 *
 * Queries and softmax weights are quantised to 16 bits, so that both products are exact integer dot products
 * (`i32x4.dot_i16x8_s`); what is summed in f32 is summed in the order of positions. So the result depends on the token's
 * own query and its sequence alone, whatever the step holds besides. Keys are read once for all heads, then values once.
 */
import { exp__simd128 } from './exp';
import { scalesOffset, valuesOffset } from './kv-write';
import { maxLane, sumLanes } from './lanes';
import {
  F32_BYTES,
  I16_BYTES,
  KEY_PAIR_BYTES,
  KV_PAIR,
  PAGE_TOKENS,
  PAGE_TOKENS_F32_BYTES,
  QUERY_FACTOR_BYTES,
  VALUE_PAIR_BYTES,
  VALUE_QUAD_BYTES,
  VALUE_QUAD_DIMS,
} from './layout';
import { absMax__simd128, inverseScale, quantise4, scaleOf } from './quantise';

const QUANT16_MAX: f32 = 32767;
const PAGE_TABLE_ENTRY_BYTES: usize = 4;
const PAIRS_PER_VECTOR_BYTES: usize = 8;
const PAGE_TOKENS_I16_BYTES: usize = PAGE_TOKENS * I16_BYTES;
/** Vectors of four tokens in a page. */
const QUADS_PER_PAGE: i32 = PAGE_TOKENS / 4;

/**
 * @param heads f32 `[numHeads][headDim]`: the rotated queries, replaced by the result
 * @param headPages this layer's and KV head's part of page 0; that of page n is n * `pageBytes` further
 * @param pageTable u32 page index for each 16 positions
 * @param length positions attended to, the token's own the last
 * @param scoreScale 1 / sqrt(headDim)
 * @param queries scratch, `numHeads * (2 * headDim + QUERY_FACTOR_BYTES)` bytes
 * @param scores scratch, f32 `[numHeads][scoresStride]`; `scoresStride` a multiple of 16, at least `length`
 * @param weights scratch, i16 `[numHeads][scoresStride]`
 */
export function f32_kv8_attention__simd128(
  heads: usize,
  numHeads: i32,
  headDim: i32,
  headPages: usize,
  pageBytes: usize,
  pageTable: usize,
  length: i32,
  scoreScale: f32,
  queries: usize,
  scores: usize,
  weights: usize,
  scoresStride: i32,
): void {
  const numPages = (length + PAGE_TOKENS - 1) / PAGE_TOKENS;
  const queryBytes: usize = headDim * I16_BYTES + QUERY_FACTOR_BYTES;
  const headBytes: usize = headDim * F32_BYTES;
  const scoresBytes: usize = scoresStride * F32_BYTES;
  const weightsBytes: usize = scoresStride * I16_BYTES;
  for (let head = 0; head < numHeads; head++) {
    quantiseQuery__simd128(queries + head * queryBytes, heads + head * headBytes, headDim, scoreScale);
  }
  for (let page = 0; page < numPages; page++) {
    const keys = headPages + load<u32>(pageTable + page * PAGE_TABLE_ENTRY_BYTES) * pageBytes;
    for (let head = 0; head < numHeads; head++) {
      const to = scores + head * scoresBytes + page * PAGE_TOKENS_F32_BYTES;
      scorePage__simd128(to, queries + head * queryBytes, keys, headDim);
    }
  }
  for (let head = 0; head < numHeads; head++) {
    const headScores = scores + head * scoresBytes;
    maskPadding(headScores, length);
    const factor = softmax__simd128(
      weights + head * weightsBytes,
      headScores,
      headPages + scalesOffset(headDim) + PAGE_TOKENS_F32_BYTES,
      pageBytes,
      pageTable,
      numPages,
    );
    // The query's own factor is no longer needed: its place keeps the result's.
    store<f32>(queries + head * queryBytes + headDim * I16_BYTES, factor);
  }
  memory.fill(heads, 0, numHeads * headBytes);
  for (let page = 0; page < numPages; page++) {
    const pageAt = headPages + load<u32>(pageTable + page * PAGE_TABLE_ENTRY_BYTES) * pageBytes;
    for (let head = 0; head < numHeads; head++) {
      const from = weights + head * weightsBytes + page * PAGE_TOKENS_I16_BYTES;
      addValues__simd128(heads + head * headBytes, from, pageAt + valuesOffset(headDim), headDim);
    }
  }
  for (let head = 0; head < numHeads; head++) {
    const factor = load<f32>(queries + head * queryBytes + headDim * I16_BYTES);
    scale__simd128(heads + head * headBytes, factor, headDim);
  }
}

function quantiseQuery__simd128(output: usize, query: usize, headDim: i32, scoreScale: f32): void {
  const largest = absMax__simd128(query, headDim);
  const inverse = f32x4.splat(inverseScale(largest, QUANT16_MAX));
  for (let dim = 0; dim < headDim; dim += 8) {
    const low = quantise4(v128.load(query + dim * F32_BYTES), inverse);
    const high = quantise4(v128.load(query + dim * F32_BYTES, 16), inverse);
    v128.store(output + dim * I16_BYTES, i16x8.narrow_i32x4_s(low, high));
  }
  store<f32>(output + headDim * I16_BYTES, scaleOf(largest, QUANT16_MAX) * scoreScale);
}

/** Scores of one query with the 16 keys of a page. No overflow: 32767 * 127 * headDim < 2^31 for headDim <= 512. */
function scorePage__simd128(output: usize, query: usize, keys: usize, headDim: i32): void {
  let dot0 = i32x4.splat(0);
  let dot1 = i32x4.splat(0);
  let dot2 = i32x4.splat(0);
  let dot3 = i32x4.splat(0);
  let pairs = keys;
  const end = query + headDim * I16_BYTES;
  for (let at = query; at < end; at += KV_PAIR * I16_BYTES) {
    const pair = v128.load32_splat(at);
    dot0 = i32x4.add(dot0, i32x4.dot_i16x8_s(v128.load8x8_s(pairs), pair));
    dot1 = i32x4.add(dot1, i32x4.dot_i16x8_s(v128.load8x8_s(pairs, PAIRS_PER_VECTOR_BYTES), pair));
    dot2 = i32x4.add(dot2, i32x4.dot_i16x8_s(v128.load8x8_s(pairs, 2 * PAIRS_PER_VECTOR_BYTES), pair));
    dot3 = i32x4.add(dot3, i32x4.dot_i16x8_s(v128.load8x8_s(pairs, 3 * PAIRS_PER_VECTOR_BYTES), pair));
    pairs += KEY_PAIR_BYTES;
  }
  const factor = v128.load32_splat(end);
  const scales = keys + scalesOffset(headDim);
  storeScores(output, dot0, scales, factor);
  storeScores(output + sizeof<v128>(), dot1, scales + sizeof<v128>(), factor);
  storeScores(output + 2 * sizeof<v128>(), dot2, scales + 2 * sizeof<v128>(), factor);
  storeScores(output + 3 * sizeof<v128>(), dot3, scales + 3 * sizeof<v128>(), factor);
}

function storeScores(output: usize, dot: v128, scales: usize, factor: v128): void {
  v128.store(output, f32x4.mul(f32x4.convert_i32x4_s(dot), f32x4.mul(v128.load(scales), factor)));
}

/** The rest of the last page holds what earlier owners of the page left there: it must not be seen. */
function maskPadding(scores: usize, length: i32): void {
  for (let position = length; position % PAGE_TOKENS != 0; position++) {
    store<f32>(scores + position * F32_BYTES, -Infinity);
  }
}

/**
 * weights = e^(score - max) * value scale, as 16-bit quants; `scores` is overwritten.
 * @param valueScales those of page 0
 * @returns what turns the integer sum of weight * value into the result: weight scale / sum of e^(score - max)
 */
function softmax__simd128(
  weights: usize,
  scores: usize,
  valueScales: usize,
  pageBytes: usize,
  pageTable: usize,
  numPages: i32,
): f32 {
  const end = scores + numPages * PAGE_TOKENS_F32_BYTES;
  let largest = f32x4.splat(-Infinity);
  for (let at = scores; at < end; at += sizeof<v128>()) largest = f32x4.pmax(v128.load(at), largest);
  const largestScore = f32x4.splat(maxLane(largest));

  let sum = f32x4.splat(0);
  let largestWeight = f32x4.splat(0);
  let at = scores;
  for (let page = 0; page < numPages; page++) {
    let scales = valueScales + load<u32>(pageTable + page * PAGE_TABLE_ENTRY_BYTES) * pageBytes;
    for (let quad = 0; quad < QUADS_PER_PAGE; quad++) {
      const power = exp__simd128(f32x4.sub(v128.load(at), largestScore));
      sum = f32x4.add(sum, power);
      // The scale of a masked position may be anything, NaN included.
      const weight = v128.and(f32x4.mul(power, v128.load(scales)), f32x4.ne(power, f32x4.splat(0)));
      largestWeight = f32x4.pmax(weight, largestWeight);
      v128.store(at, weight);
      at += sizeof<v128>();
      scales += sizeof<v128>();
    }
  }

  const weightMax = maxLane(largestWeight);
  const inverse = f32x4.splat(inverseScale(weightMax, QUANT16_MAX));
  let to = weights;
  for (at = scores; at < end; at += 2 * sizeof<v128>()) {
    const low = quantise4(v128.load(at), inverse);
    const high = quantise4(v128.load(at, 16), inverse);
    v128.store(to, i16x8.narrow_i32x4_s(low, high));
    to += sizeof<v128>();
  }
  return scaleOf(weightMax, QUANT16_MAX) / sumLanes(sum);
}

/** Adds a page's weight * value to `sums`. The integer sum of a page is below 16 * 32767 * 127 < 2^27. */
function addValues__simd128(sums: usize, weights: usize, values: usize, headDim: i32): void {
  const pair0 = v128.load32_splat(weights);
  const pair1 = v128.load32_splat(weights, 4);
  const pair2 = v128.load32_splat(weights, 8);
  const pair3 = v128.load32_splat(weights, 12);
  const pair4 = v128.load32_splat(weights, 16);
  const pair5 = v128.load32_splat(weights, 20);
  const pair6 = v128.load32_splat(weights, 24);
  const pair7 = v128.load32_splat(weights, 28);
  for (let quad = 0, end = headDim / VALUE_QUAD_DIMS; quad < end; quad++) {
    let dot = i32x4.dot_i16x8_s(v128.load8x8_s(values), pair0);
    dot = i32x4.add(dot, i32x4.dot_i16x8_s(v128.load8x8_s(values, VALUE_PAIR_BYTES), pair1));
    dot = i32x4.add(dot, i32x4.dot_i16x8_s(v128.load8x8_s(values, 2 * VALUE_PAIR_BYTES), pair2));
    dot = i32x4.add(dot, i32x4.dot_i16x8_s(v128.load8x8_s(values, 3 * VALUE_PAIR_BYTES), pair3));
    dot = i32x4.add(dot, i32x4.dot_i16x8_s(v128.load8x8_s(values, 4 * VALUE_PAIR_BYTES), pair4));
    dot = i32x4.add(dot, i32x4.dot_i16x8_s(v128.load8x8_s(values, 5 * VALUE_PAIR_BYTES), pair5));
    dot = i32x4.add(dot, i32x4.dot_i16x8_s(v128.load8x8_s(values, 6 * VALUE_PAIR_BYTES), pair6));
    dot = i32x4.add(dot, i32x4.dot_i16x8_s(v128.load8x8_s(values, 7 * VALUE_PAIR_BYTES), pair7));
    v128.store(sums, f32x4.add(v128.load(sums), f32x4.convert_i32x4_s(dot)));
    values += VALUE_QUAD_BYTES;
    sums += sizeof<v128>();
  }
}

function scale__simd128(values: usize, factor: f32, size: i32): void {
  const splat = f32x4.splat(factor);
  for (let at = values, end = values + size * F32_BYTES; at < end; at += sizeof<v128>()) {
    v128.store(at, f32x4.mul(v128.load(at), splat));
  }
}
