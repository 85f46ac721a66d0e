/** Dynamic quantisation of activations to int8 per group of 32, in the layouts that the matrix products read. */
import {
  F32_BYTES,
  GROUP_COLS,
  QD8_GROUP_BYTES,
  QD8_SCALE_OFFSET,
  QD8_SPLIT_GROUP_BYTES,
  QD8_SPLIT_NEGATIVES_OFFSET,
  QD8_SPLIT_QUAD_BYTES,
  QD8_SPLIT_SCALE_OFFSET,
  QD8_SPLIT_SIGNS_OFFSET,
  QD8_SPLIT_TILE_GROUP_BYTES,
  QD8_SPLIT_TILE_NEGATIVES_OFFSET,
  QD8_SPLIT_TILE_QUAD_BYTES,
  QD8_SPLIT_TILE_SCALES_OFFSET,
  QD8_SPLIT_TILE_SIGNS_OFFSET,
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
const QUADS_PER_VECTOR: i32 = QUANTS_PER_VECTOR / QUAD_COLS;

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

/** The same of a sign-split qd8 matrix. */
export function splitTokenAddress(matrix: usize, token: i32, numTokens: i32, numGroups: i32): usize {
  if (!isTiled(token, numTokens)) return matrix + token * numGroups * QD8_SPLIT_GROUP_BYTES;
  const lane = token % TOKEN_TILE;
  return matrix + ((token - lane) / TOKEN_TILE) * numGroups * QD8_SPLIT_TILE_GROUP_BYTES + lane * QUAD_COLS;
}

class Split {
  /** Writes 16 magnitudes or signs, quad by quad. */
  @inline
  static store(to: usize, quads: v128, quadBytes: usize): void {
    v128.store32_lane(to, quads, 0);
    v128.store32_lane(to + quadBytes, quads, 1);
    v128.store32_lane(to + 2 * quadBytes, quads, 2);
    v128.store32_lane(to + 3 * quadBytes, quads, 3);
  }
}

/** Quantises one token of a sign-split qd8 matrix; as `quantiseToken__simd128`. */
export function quantiseSplitToken__simd128(matrix: usize, input: usize, token: i32, numTokens: i32, size: i32): void {
  const tiled = isTiled(token, numTokens);
  const groupBytes: usize = tiled ? QD8_SPLIT_TILE_GROUP_BYTES : QD8_SPLIT_GROUP_BYTES;
  const quadBytes: usize = tiled ? QD8_SPLIT_TILE_QUAD_BYTES : QD8_SPLIT_QUAD_BYTES;
  const signsOffset: usize = tiled ? QD8_SPLIT_TILE_SIGNS_OFFSET : QD8_SPLIT_SIGNS_OFFSET;
  const scaleOffset: usize = tiled ? QD8_SPLIT_TILE_SCALES_OFFSET : QD8_SPLIT_SCALE_OFFSET;
  const negativesOffset: usize = tiled ? QD8_SPLIT_TILE_NEGATIVES_OFFSET : QD8_SPLIT_NEGATIVES_OFFSET;
  const round = loadRound();
  const quantMax = loadQuant8Max();
  const zero = i8x16.splat(0);
  let to = splitTokenAddress(matrix, token, numTokens, size / GROUP_COLS);
  for (let end: usize = input + size * F32_BYTES; input < end; input += GROUP_F32_BYTES) {
    const largest = absMax__simd128(input, GROUP_COLS);
    const inverse = inverseScale4(largest, quantMax);
    let pairs = i16x8.splat(0);
    for (let half: usize = 0; half < 2; half++) {
      const quants = quantise16(input + half * QUANTS_PER_VECTOR * F32_BYTES, inverse, round);
      const at = to + half * QUADS_PER_VECTOR * quadBytes;
      Split.store(at, i8x16.abs(quants), quadBytes);
      Split.store(at + signsOffset, i8x16.lt_s(quants, zero), quadBytes);
      pairs = i16x8.add(pairs, i16x8.extadd_pairwise_i8x16_s(i8x16.min_s(quants, zero)));
    }
    store<f32>(to + scaleOffset, f32x4.extract_lane(scaleOf4(largest, quantMax), 0));
    store<i32>(to + negativesOffset, -sumLanesI32(i32x4.extadd_pairwise_i16x8_s(pairs)));
    to += groupBytes;
  }
}

/** f32 `[numTokens][size]` to sign-split qd8; `size` a multiple of 32. */
export function f32_qd8_quantise_split__simd128(output: usize, input: usize, numTokens: i32, size: i32): void {
  for (let token = 0; token < numTokens; token++) {
    quantiseSplitToken__simd128(output, input + token * size * F32_BYTES, token, numTokens, size);
  }
}

export function f32_qd8_quantise_split__scalar(output: usize, input: usize, numTokens: i32, size: i32): void {
  const numGroups = size / GROUP_COLS;
  for (let token = 0; token < numTokens; token++) {
    const tiled = isTiled(token, numTokens);
    const groupBytes = tiled ? QD8_SPLIT_TILE_GROUP_BYTES : QD8_SPLIT_GROUP_BYTES;
    const quadBytes = tiled ? QD8_SPLIT_TILE_QUAD_BYTES : QD8_SPLIT_QUAD_BYTES;
    const signsOffset = tiled ? QD8_SPLIT_TILE_SIGNS_OFFSET : QD8_SPLIT_SIGNS_OFFSET;
    const scaleOffset = tiled ? QD8_SPLIT_TILE_SCALES_OFFSET : QD8_SPLIT_SCALE_OFFSET;
    const negativesOffset = tiled ? QD8_SPLIT_TILE_NEGATIVES_OFFSET : QD8_SPLIT_NEGATIVES_OFFSET;
    let to = splitTokenAddress(output, token, numTokens, numGroups);
    for (let group = 0; group < numGroups; group++) {
      const from = input + (token * size + group * GROUP_COLS) * F32_BYTES;
      const largest = absMax__scalar(from, GROUP_COLS);
      const inverse = inverseScale(largest, QUANT8_MAX);
      let negatives = 0;
      for (let col = 0; col < GROUP_COLS; col++) {
        const quant = quantise1(load<f32>(from + col * F32_BYTES), inverse);
        const at = to + (col / QUAD_COLS) * quadBytes + (col % QUAD_COLS);
        store<i8>(at, <i8>abs(quant));
        store<i8>(at + signsOffset, quant < 0 ? -1 : 0);
        negatives += max(-quant, 0);
      }
      store<f32>(to + scaleOffset, scaleOf(largest, QUANT8_MAX));
      store<i32>(to + negativesOffset, negatives);
      to += groupBytes;
    }
  }
}
