/**
 * The part of `qd8_f32_qb4w_gemm` that does a tile of 8 rows for one token or for two: those that a step has beyond its
 * tiles of four. Both go on with the sums that they find in `output`, since a tile comes in several runs of groups.
 */
import { decodeF16x4, loadF16BiasCorrection, loadF16Mask } from './f16';
import {
  QB4W_MINIMA_OFFSET,
  QB4W_QUAD_BYTES,
  QB4W_RECORD_BYTES,
  QB4W_SCALES_OFFSET,
  QD8_GROUP_BYTES,
  QD8_SCALE_OFFSET,
  QD8_SUM_OFFSET,
  QUADS_PER_GROUP,
  QUAD_COLS,
} from './layout';
import { loadNibbleMask, NIBBLE_BITS } from './nibbles';

/** Bytes of four rows' f16 or f32, half a tile. */
const HALF_F16_BYTES: usize = 8;
const HALF_F32_BYTES: usize = 16;

/** Two tokens, which share the decoding of the weights. */
export function multiplyTwo(
  output: usize,
  outputStride: usize,
  token0: usize,
  token1: usize,
  weights: usize,
  numGroups: i32,
): void {
  const mask = loadNibbleMask();
  const f16Mask = loadF16Mask();
  const f16Correction = loadF16BiasCorrection();
  let low0 = v128.load(output);
  let high0 = v128.load(output, HALF_F32_BYTES);
  let low1 = v128.load(output + outputStride);
  let high1 = v128.load(output + outputStride, HALF_F32_BYTES);
  for (let end = weights + numGroups * QB4W_RECORD_BYTES; weights < end; weights += QB4W_RECORD_BYTES) {
    let dotLow0 = i32x4.splat(0);
    let dotHigh0 = i32x4.splat(0);
    let dotLow1 = i32x4.splat(0);
    let dotHigh1 = i32x4.splat(0);
    for (let quad = 0; quad < QUADS_PER_GROUP; quad++) {
      const nibbles = v128.load(weights + quad * QB4W_QUAD_BYTES);
      const quants0 = v128.load32_splat(token0 + quad * QUAD_COLS);
      const quants1 = v128.load32_splat(token1 + quad * QUAD_COLS);
      const low = v128.and(nibbles, mask);
      const high = v128.and(i16x8.shr_u(nibbles, NIBBLE_BITS), mask);
      dotLow0 = i32x4.relaxed_dot_i8x16_i7x16_add_s(quants0, low, dotLow0);
      dotHigh0 = i32x4.relaxed_dot_i8x16_i7x16_add_s(quants0, high, dotHigh0);
      dotLow1 = i32x4.relaxed_dot_i8x16_i7x16_add_s(quants1, low, dotLow1);
      dotHigh1 = i32x4.relaxed_dot_i8x16_i7x16_add_s(quants1, high, dotHigh1);
    }
    const scaleLow = decodeF16x4(weights + QB4W_SCALES_OFFSET, f16Mask, f16Correction);
    const scaleHigh = decodeF16x4(weights + QB4W_SCALES_OFFSET + HALF_F16_BYTES, f16Mask, f16Correction);
    const minimumLow = decodeF16x4(weights + QB4W_MINIMA_OFFSET, f16Mask, f16Correction);
    const minimumHigh = decodeF16x4(weights + QB4W_MINIMA_OFFSET + HALF_F16_BYTES, f16Mask, f16Correction);
    low0 = Tile.addGroup(low0, dotLow0, scaleLow, minimumLow, token0);
    high0 = Tile.addGroup(high0, dotHigh0, scaleHigh, minimumHigh, token0);
    low1 = Tile.addGroup(low1, dotLow1, scaleLow, minimumLow, token1);
    high1 = Tile.addGroup(high1, dotHigh1, scaleHigh, minimumHigh, token1);
    token0 += QD8_GROUP_BYTES;
    token1 += QD8_GROUP_BYTES;
  }
  Tile.store(output, low0, high0);
  Tile.store(output + outputStride, low1, high1);
}

/**
 * One token. Sums of even and of odd quads are kept apart, since a chain of 8 dot products would take longer than reading
 * the weights does; integers may be added in any order.
 */
export function multiplyOne(output: usize, activations: usize, weights: usize, numGroups: i32): void {
  const mask = loadNibbleMask();
  const f16Mask = loadF16Mask();
  const f16Correction = loadF16BiasCorrection();
  let low = v128.load(output);
  let high = v128.load(output, HALF_F32_BYTES);
  for (let end = weights + numGroups * QB4W_RECORD_BYTES; weights < end; weights += QB4W_RECORD_BYTES) {
    let evenLow = i32x4.splat(0);
    let evenHigh = i32x4.splat(0);
    let oddLow = i32x4.splat(0);
    let oddHigh = i32x4.splat(0);
    for (let quad = 0; quad < QUADS_PER_GROUP; quad += 2) {
      const at = weights + quad * QB4W_QUAD_BYTES;
      const quants = activations + quad * QUAD_COLS;
      const even = v128.load(at);
      const odd = v128.load(at, QB4W_QUAD_BYTES);
      const evenQuants = v128.load32_splat(quants);
      const oddQuants = v128.load32_splat(quants, QUAD_COLS);
      evenLow = i32x4.relaxed_dot_i8x16_i7x16_add_s(evenQuants, v128.and(even, mask), evenLow);
      oddLow = i32x4.relaxed_dot_i8x16_i7x16_add_s(oddQuants, v128.and(odd, mask), oddLow);
      const evenUpper = v128.and(i16x8.shr_u(even, NIBBLE_BITS), mask);
      const oddUpper = v128.and(i16x8.shr_u(odd, NIBBLE_BITS), mask);
      evenHigh = i32x4.relaxed_dot_i8x16_i7x16_add_s(evenQuants, evenUpper, evenHigh);
      oddHigh = i32x4.relaxed_dot_i8x16_i7x16_add_s(oddQuants, oddUpper, oddHigh);
    }
    const scaleLow = decodeF16x4(weights + QB4W_SCALES_OFFSET, f16Mask, f16Correction);
    const scaleHigh = decodeF16x4(weights + QB4W_SCALES_OFFSET + HALF_F16_BYTES, f16Mask, f16Correction);
    const minimumLow = decodeF16x4(weights + QB4W_MINIMA_OFFSET, f16Mask, f16Correction);
    const minimumHigh = decodeF16x4(weights + QB4W_MINIMA_OFFSET + HALF_F16_BYTES, f16Mask, f16Correction);
    low = Tile.addGroup(low, i32x4.add(evenLow, oddLow), scaleLow, minimumLow, activations);
    high = Tile.addGroup(high, i32x4.add(evenHigh, oddHigh), scaleHigh, minimumHigh, activations);
    activations += QD8_GROUP_BYTES;
  }
  Tile.store(output, low, high);
}

/** Inline functions are static methods here, since TypeScript's grammar has decorators on class members only. */
class Tile {
  @inline
  static addGroup(sum: v128, dot: v128, scale: v128, minimum: v128, activations: usize): v128 {
    const bothScales = f32x4.mul(scale, v128.load32_splat(activations, QD8_SCALE_OFFSET));
    const scaled = f32x4.add(sum, f32x4.mul(f32x4.convert_i32x4_s(dot), bothScales));
    return f32x4.add(scaled, f32x4.mul(minimum, v128.load32_splat(activations, QD8_SUM_OFFSET)));
  }

  @inline
  static store(output: usize, low: v128, high: v128): void {
    v128.store(output, low);
    v128.store(output, high, HALF_F32_BYTES);
  }
}
