/**
 * Quantises one token's key and value of one head to int8, each with an f32 scale, and writes them into their page. The
 * page's layout puts next to each other what one vector of the attention kernel reads: see docs/kernels.md.
 */
import {
  absMax__scalar,
  absMax__simd128,
  inverseScale,
  inverseScale4,
  loadQuant8Max,
  loadRound,
  QUANT8_MAX,
  quantise1,
  quantise16,
  scaleOf,
  scaleOf4,
} from './quantise';
import {
  F32_BYTES,
  KV_PART_BYTES_PER_DIM,
  KV_PART_SCALES_BYTES,
  KV_QUAD,
  KV_QUAD_BYTES,
  VALUE_QUAD_BYTES,
} from './layout';

/** Dimensions in one vector of int8. */
const DIMS_PER_VECTOR: i32 = 16;
const QUADS_PER_VECTOR: i32 = DIMS_PER_VECTOR / KV_QUAD;

/** Bytes of a part of a page: the keys or the values of one head. */
export function partBytes(headDim: i32): usize {
  return headDim * KV_PART_BYTES_PER_DIM + KV_PART_SCALES_BYTES;
}

/** Where the 16 scales start in a part of a page. */
export function scalesOffset(headDim: i32): usize {
  return headDim * KV_PART_BYTES_PER_DIM;
}

/**
 * @param keys the page's keys of this head
 * @param values the page's values of this head
 * @param slot token in the page, 0..15
 * @param key f32 `[headDim]`, rotated; `headDim` a multiple of 16
 * @param value f32 `[headDim]`
 */
export function f32_kv8_write__simd128(
  keys: usize,
  values: usize,
  slot: i32,
  key: usize,
  value: usize,
  headDim: i32,
): void {
  const scaleOffset = scalesOffset(headDim) + slot * F32_BYTES;
  const round = loadRound();
  const quantMax = loadQuant8Max();
  const keyMax = absMax__simd128(key, headDim);
  const valueMax = absMax__simd128(value, headDim);
  v128.store32_lane(keys + scaleOffset, scaleOf4(keyMax, quantMax), 0);
  v128.store32_lane(values + scaleOffset, scaleOf4(valueMax, quantMax), 0);
  const keyInverse = inverseScale4(keyMax, quantMax);
  const valueInverse = inverseScale4(valueMax, quantMax);
  let keyAt = keys + slot * KV_QUAD;
  let valueAt = values + (slot / KV_QUAD) * VALUE_QUAD_BYTES + (slot % KV_QUAD);
  for (let dim = 0; dim < headDim; dim += DIMS_PER_VECTOR) {
    storeKeys(keyAt, quantise16(key + dim * F32_BYTES, keyInverse, round));
    storeValues(valueAt, quantise16(value + dim * F32_BYTES, valueInverse, round));
    keyAt += QUADS_PER_VECTOR * KV_QUAD_BYTES;
    valueAt += QUADS_PER_VECTOR * KV_QUAD_BYTES;
  }
}

/** Four quads of dimensions of one key. */
function storeKeys(to: usize, quants: v128): void {
  v128.store32_lane(to, quants, 0);
  v128.store32_lane(to, quants, 1, KV_QUAD_BYTES);
  v128.store32_lane(to, quants, 2, 2 * KV_QUAD_BYTES);
  v128.store32_lane(to, quants, 3, 3 * KV_QUAD_BYTES);
}

/** Four quads of dimensions of one value. */
function storeValues(to: usize, quants: v128): void {
  let left = quants;
  for (let quad = 0; quad < QUADS_PER_VECTOR; quad++) {
    v128.store8_lane(to, left, 0);
    v128.store8_lane(to, left, 1, KV_QUAD);
    v128.store8_lane(to, left, 2, 2 * KV_QUAD);
    v128.store8_lane(to, left, 3, 3 * KV_QUAD);
    left = i8x16.shuffle(left, left, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 0, 1, 2, 3);
    to += KV_QUAD_BYTES;
  }
}

export function f32_kv8_write__scalar(
  keys: usize,
  values: usize,
  slot: i32,
  key: usize,
  value: usize,
  headDim: i32,
): void {
  const scaleOffset = scalesOffset(headDim) + slot * F32_BYTES;
  const keyMax = absMax__scalar(key, headDim);
  const valueMax = absMax__scalar(value, headDim);
  store<f32>(keys + scaleOffset, scaleOf(keyMax, QUANT8_MAX));
  store<f32>(values + scaleOffset, scaleOf(valueMax, QUANT8_MAX));
  const keyInverse = inverseScale(keyMax, QUANT8_MAX);
  const valueInverse = inverseScale(valueMax, QUANT8_MAX);
  for (let dim = 0; dim < headDim; dim++) {
    const quad = (dim / KV_QUAD) * KV_QUAD_BYTES;
    const keyAt = keys + quad + slot * KV_QUAD + (dim % KV_QUAD);
    const tokens = values + quad + (slot / KV_QUAD) * VALUE_QUAD_BYTES;
    const valueAt = tokens + (dim % KV_QUAD) * KV_QUAD + (slot % KV_QUAD);
    store<i8>(keyAt, <i8>quantise1(load<f32>(key + dim * F32_BYTES), keyInverse));
    store<i8>(valueAt, <i8>quantise1(load<f32>(value + dim * F32_BYTES), valueInverse));
  }
}
