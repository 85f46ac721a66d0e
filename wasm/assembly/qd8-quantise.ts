/** Dynamic quantisation of activations to int8 per group of 32, in the layouts that the matrix products read. */
import {
  F32_BYTES,
  GROUP_COLS,
  QD8_GROUP_BYTES,
  QD8_SCALE_OFFSET,
  QD8_SPLIT_GROUP_BYTES,
  QD8_SPLIT_NEGATIVE_OFFSET,
  QD8_SPLIT_QUAD_BYTES,
  QD8_SPLIT_SCALE_OFFSET,
  QD8_SUM_OFFSET,
  QD8_TILE_GROUP_BYTES,
  QD8_TILE_QUAD_BYTES,
  QD8_TILE_SCALES_OFFSET,
  QD8_TILE_SUMS_OFFSET,
  QUAD_COLS,
  TOKEN_TILE,
} from './layout';
import { sumLanesI32 } from './lanes';
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

const VECTOR_BYTES: usize = 16;
const GROUP_F32_BYTES: usize = GROUP_COLS * F32_BYTES;
/** int8 in a vector. */
const QUANTS_PER_VECTOR: i32 = 16;

/** Whether a token of a step of `numTokens` lies in a tile of tokens. */
export function isTiled(token: i32, numTokens: i32): bool {
  return token < numTokens - (numTokens % TOKEN_TILE);
}

/** Where the first group of a token lies in a qd8 matrix `[numTokens][numGroups * 32]`. */
export function tokenAddress(matrix: usize, token: i32, numTokens: i32, numGroups: i32): usize {
  if (!isTiled(token, numTokens)) return matrix + token * numGroups * QD8_GROUP_BYTES;
  const lane = token % TOKEN_TILE;
  return matrix + ((token - lane) / TOKEN_TILE) * numGroups * QD8_TILE_GROUP_BYTES + lane * QUAD_COLS;
}

/**
 * Quantises one token of a qd8 matrix.
 * @param matrix qd8 `[numTokens][size]`; see `TOKEN_TILE` in layout.ts
 * @param input f32 `[size]`; `size` a multiple of 32
 */
export function quantiseToken__simd128(matrix: usize, input: usize, token: i32, numTokens: i32, size: i32): void {
  const to = tokenAddress(matrix, token, numTokens, size / GROUP_COLS);
  if (isTiled(token, numTokens)) quantiseLane(to, input, size);
  else quantiseRow(to, input, size);
}

function quantiseRow(to: usize, input: usize, size: i32): void {
  const round = loadRound();
  const quantMax = loadQuant8Max();
  for (let end: usize = input + size * F32_BYTES; input < end; input += GROUP_F32_BYTES) {
    const largest = absMax__simd128(input, GROUP_COLS);
    const inverse = inverseScale4(largest, quantMax);
    const scale = f32x4.extract_lane(scaleOf4(largest, quantMax), 0);
    const low = quantise16(input, inverse, round);
    const high = quantise16(input + 4 * VECTOR_BYTES, inverse, round);
    v128.store(to, low);
    v128.store(to, high, VECTOR_BYTES);
    store<f32>(to, scale, QD8_SCALE_OFFSET);
    store<f32>(to, scale * <f32>sumQuants(low, high), QD8_SUM_OFFSET);
    to += QD8_GROUP_BYTES;
  }
}

/** One lane of a tile of tokens. */
function quantiseLane(to: usize, input: usize, size: i32): void {
  const round = loadRound();
  const quantMax = loadQuant8Max();
  for (let end: usize = input + size * F32_BYTES; input < end; input += GROUP_F32_BYTES) {
    const largest = absMax__simd128(input, GROUP_COLS);
    const inverse = inverseScale4(largest, quantMax);
    const scale = f32x4.extract_lane(scaleOf4(largest, quantMax), 0);
    const low = quantise16(input, inverse, round);
    const high = quantise16(input + 4 * VECTOR_BYTES, inverse, round);
    v128.store32_lane(to, low, 0);
    v128.store32_lane(to, low, 1, QD8_TILE_QUAD_BYTES);
    v128.store32_lane(to, low, 2, 2 * QD8_TILE_QUAD_BYTES);
    v128.store32_lane(to, low, 3, 3 * QD8_TILE_QUAD_BYTES);
    v128.store32_lane(to, high, 0, 4 * QD8_TILE_QUAD_BYTES);
    v128.store32_lane(to, high, 1, 5 * QD8_TILE_QUAD_BYTES);
    v128.store32_lane(to, high, 2, 6 * QD8_TILE_QUAD_BYTES);
    v128.store32_lane(to, high, 3, 7 * QD8_TILE_QUAD_BYTES);
    store<f32>(to, scale, QD8_TILE_SCALES_OFFSET);
    store<f32>(to, scale * <f32>sumQuants(low, high), QD8_TILE_SUMS_OFFSET);
    to += QD8_TILE_GROUP_BYTES;
  }
}

function sumQuants(low: v128, high: v128): i32 {
  const pairs = i16x8.add(i16x8.extadd_pairwise_i8x16_s(low), i16x8.extadd_pairwise_i8x16_s(high));
  return sumLanesI32(i32x4.extadd_pairwise_i16x8_s(pairs));
}

/** f32 `[numTokens][size]` to qd8; `size` a multiple of 32. */
export function f32_qd8_quantise__simd128(output: usize, input: usize, numTokens: i32, size: i32): void {
  for (let token = 0; token < numTokens; token++) {
    quantiseToken__simd128(output, input + token * size * F32_BYTES, token, numTokens, size);
  }
}

export function f32_qd8_quantise__scalar(output: usize, input: usize, numTokens: i32, size: i32): void {
  const numGroups = size / GROUP_COLS;
  for (let token = 0; token < numTokens; token++) {
    const tiled = isTiled(token, numTokens);
    const to = tokenAddress(output, token, numTokens, numGroups);
    for (let group = 0; group < numGroups; group++) {
      const from = input + (token * size + group * GROUP_COLS) * F32_BYTES;
      if (tiled) {
        const at = to + group * QD8_TILE_GROUP_BYTES;
        quantiseGroup(at, at + QD8_TILE_SCALES_OFFSET, at + QD8_TILE_SUMS_OFFSET, QD8_TILE_QUAD_BYTES, from);
      } else {
        const at = to + group * QD8_GROUP_BYTES;
        quantiseGroup(at, at + QD8_SCALE_OFFSET, at + QD8_SUM_OFFSET, QUAD_COLS, from);
      }
    }
  }
}

function quantiseGroup(quants: usize, scaleAt: usize, sumAt: usize, quadBytes: usize, input: usize): void {
  const largest = absMax__scalar(input, GROUP_COLS);
  const inverse = inverseScale(largest, QUANT8_MAX);
  const scale = scaleOf(largest, QUANT8_MAX);
  let sum = 0;
  for (let col = 0; col < GROUP_COLS; col++) {
    const quant = quantise1(load<f32>(input + col * F32_BYTES), inverse);
    store<i8>(quants + (col / QUAD_COLS) * quadBytes + (col % QUAD_COLS), <i8>quant);
    sum += quant;
  }
  store<f32>(scaleAt, scale);
  store<f32>(sumAt, scale * <f32>sum);
}

/** f32 `[size]` to sign-split qd8; `size` a multiple of 32. */
export function f32_qd8_quantise_split__simd128(output: usize, input: usize, size: i32): void {
  const zero = i8x16.splat(0);
  const round = loadRound();
  const quantMax = loadQuant8Max();
  for (let group = 0, end = size / GROUP_COLS; group < end; group++) {
    const largest = absMax__simd128(input, GROUP_COLS);
    const inverse = inverseScale4(largest, quantMax);
    let to = output;
    for (let half = 0; half < GROUP_COLS; half += QUANTS_PER_VECTOR) {
      const quants = quantise16(input + half * F32_BYTES, inverse, round);
      const positive = i8x16.max_s(quants, zero);
      const negative = i8x16.max_s(i8x16.neg(quants), zero);
      v128.store(to, interleaveLow(positive, negative));
      v128.store(to, interleaveHigh(positive, negative), VECTOR_BYTES);
      to += 2 * VECTOR_BYTES;
    }
    store<f32>(output, f32x4.extract_lane(scaleOf4(largest, quantMax), 0), QD8_SPLIT_SCALE_OFFSET);
    input += GROUP_F32_BYTES;
    output += QD8_SPLIT_GROUP_BYTES;
  }
}

/** Lane 0 of `even`, lane 0 of `odd`, lane 1 of `even`, lane 1 of `odd`. */
function interleaveLow(even: v128, odd: v128): v128 {
  return i8x16.shuffle(even, odd, 0, 1, 2, 3, 16, 17, 18, 19, 4, 5, 6, 7, 20, 21, 22, 23);
}

/** The same of lanes 2 and 3. */
function interleaveHigh(even: v128, odd: v128): v128 {
  return i8x16.shuffle(even, odd, 8, 9, 10, 11, 24, 25, 26, 27, 12, 13, 14, 15, 28, 29, 30, 31);
}

export function f32_qd8_quantise_split__scalar(output: usize, input: usize, size: i32): void {
  for (let group = 0, end = size / GROUP_COLS; group < end; group++) {
    const largest = absMax__scalar(input, GROUP_COLS);
    const inverse = inverseScale(largest, QUANT8_MAX);
    for (let col = 0; col < GROUP_COLS; col++) {
      const quant = quantise1(load<f32>(input + col * F32_BYTES), inverse);
      const to = output + (col / QUAD_COLS) * QD8_SPLIT_QUAD_BYTES + (col % QUAD_COLS);
      store<i8>(to, <i8>max(quant, 0));
      store<i8>(to, <i8>max(-quant, 0), QD8_SPLIT_NEGATIVE_OFFSET);
    }
    store<f32>(output, scaleOf(largest, QUANT8_MAX), QD8_SPLIT_SCALE_OFFSET);
    input += GROUP_F32_BYTES;
    output += QD8_SPLIT_GROUP_BYTES;
  }
}
