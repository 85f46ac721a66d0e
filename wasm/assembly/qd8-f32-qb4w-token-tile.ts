/**
 * The part of `qd8_f32_qb4w_gemm` that does a tile of four tokens. One load brings the same quad of columns of all four,
 * one another of 8 rows: two checks of bounds for 128 multiply-adds. Which token meets which row is a matter of rotating
 * lanes: with the activations turned by j, lane i of a dot product is row i for token (i + j) % 4.
 */
import { decodeF16x4, loadF16BiasCorrection, loadF16Mask } from './f16';
import {
  DECODED_MINIMA_OFFSET,
  DECODED_QUAD_BYTES,
  DECODED_RECORD_BYTES,
  DECODED_SCALES_OFFSET,
  QB4W_MINIMA_OFFSET,
  QB4W_QUAD_BYTES,
  QB4W_RECORD_BYTES,
  QB4W_SCALES_OFFSET,
  QD8_TILE_GROUP_BYTES,
  QD8_TILE_QUAD_BYTES,
  QD8_TILE_SCALES_OFFSET,
  QD8_TILE_SUMS_OFFSET,
  QUADS_PER_GROUP,
} from './layout';
import { loadNibbleMask, NIBBLE_BITS } from './nibbles';
import { Lanes, storeTurned } from './turned-lanes';

/** Bytes of four rows' f16 or f32, half a tile. */
const HALF_F16_BYTES: usize = 8;
const HALF_F32_BYTES: usize = 16;
/** Bytes of a decoded quad's four rows. */
const HALF_QUAD_BYTES: usize = 16;

/** One tile of 8 rows for one tile of tokens, with packed weights. */
export function multiplyPacked(
  output: usize,
  outputStride: usize,
  activations: usize,
  weights: usize,
  numGroups: i32,
): void {
  TokenTile.multiply(false, output, outputStride, activations, weights, numGroups);
}

/** The same with decoded weights: the same sums in the same order. */
export function multiplyDecoded(
  output: usize,
  outputStride: usize,
  activations: usize,
  weights: usize,
  numGroups: i32,
): void {
  TokenTile.multiply(true, output, outputStride, activations, weights, numGroups);
}

/** Decodes a tile of 8 rows to `numGroups` records of `DECODED_RECORD_BYTES`. */
export function decodeTile(output: usize, weights: usize, numGroups: i32): void {
  const mask = loadNibbleMask();
  const f16Mask = loadF16Mask();
  const f16Correction = loadF16BiasCorrection();
  for (let group = 0; group < numGroups; group++) {
    for (let quad = 0; quad < QUADS_PER_GROUP; quad++) {
      const nibbles = v128.load(weights + quad * QB4W_QUAD_BYTES);
      const to = output + quad * DECODED_QUAD_BYTES;
      v128.store(to, v128.and(nibbles, mask));
      v128.store(to, v128.and(i16x8.shr_u(nibbles, NIBBLE_BITS), mask), HALF_QUAD_BYTES);
    }
    for (let half: usize = 0; half < 2; half++) {
      const to = output + half * HALF_F32_BYTES;
      const from = weights + half * HALF_F16_BYTES;
      v128.store(to, decodeF16x4(from + QB4W_SCALES_OFFSET, f16Mask, f16Correction), DECODED_SCALES_OFFSET);
      v128.store(to, decodeF16x4(from + QB4W_MINIMA_OFFSET, f16Mask, f16Correction), DECODED_MINIMA_OFFSET);
    }
    weights += QB4W_RECORD_BYTES;
    output += DECODED_RECORD_BYTES;
  }
}

class TokenTile {
  /**
   * Two quads in an iteration are what V8 makes the best code of, see `docs/kernels.md`.
   * @param isDecoded a constant where this is inlined, so no branch is left
   */
  @inline
  static multiply(
    isDecoded: bool,
    output: usize,
    outputStride: usize,
    activations: usize,
    weights: usize,
    numGroups: i32,
  ): void {
    const recordBytes: usize = isDecoded ? DECODED_RECORD_BYTES : QB4W_RECORD_BYTES;
    const quadBytes: usize = isDecoded ? DECODED_QUAD_BYTES : QB4W_QUAD_BYTES;
    const mask = loadNibbleMask();
    const f16Mask = loadF16Mask();
    const f16Correction = loadF16BiasCorrection();
    let low0 = f32x4.splat(0);
    let low1 = f32x4.splat(0);
    let low2 = f32x4.splat(0);
    let low3 = f32x4.splat(0);
    let high0 = f32x4.splat(0);
    let high1 = f32x4.splat(0);
    let high2 = f32x4.splat(0);
    let high3 = f32x4.splat(0);
    for (let end = weights + numGroups * recordBytes; weights < end; weights += recordBytes) {
      let dotLow0 = i32x4.splat(0);
      let dotLow1 = i32x4.splat(0);
      let dotLow2 = i32x4.splat(0);
      let dotLow3 = i32x4.splat(0);
      let dotHigh0 = i32x4.splat(0);
      let dotHigh1 = i32x4.splat(0);
      let dotHigh2 = i32x4.splat(0);
      let dotHigh3 = i32x4.splat(0);
      for (let quad = 0; quad < QUADS_PER_GROUP; quad += 2) {
        const at = weights + quad * quadBytes;
        const from = activations + quad * QD8_TILE_QUAD_BYTES;
        const nibbles = v128.load(at);
        const quants = v128.load(from);
        const low = isDecoded ? nibbles : v128.and(nibbles, mask);
        const high = isDecoded ? v128.load(at, HALF_QUAD_BYTES) : v128.and(i16x8.shr_u(nibbles, NIBBLE_BITS), mask);
        dotLow0 = TokenTile.dot(quants, low, dotLow0);
        dotHigh0 = TokenTile.dot(quants, high, dotHigh0);
        const turned1 = Lanes.turn1(quants);
        dotLow1 = TokenTile.dot(turned1, low, dotLow1);
        dotHigh1 = TokenTile.dot(turned1, high, dotHigh1);
        const turned2 = Lanes.turn2(quants);
        dotLow2 = TokenTile.dot(turned2, low, dotLow2);
        dotHigh2 = TokenTile.dot(turned2, high, dotHigh2);
        const turned3 = Lanes.turn3(quants);
        dotLow3 = TokenTile.dot(turned3, low, dotLow3);
        dotHigh3 = TokenTile.dot(turned3, high, dotHigh3);

        const next = at + quadBytes;
        const nextNibbles = v128.load(next);
        const nextQuants = v128.load(from, QD8_TILE_QUAD_BYTES);
        const nextLow = isDecoded ? nextNibbles : v128.and(nextNibbles, mask);
        const nextHigh = isDecoded
          ? v128.load(next, HALF_QUAD_BYTES)
          : v128.and(i16x8.shr_u(nextNibbles, NIBBLE_BITS), mask);
        dotLow0 = TokenTile.dot(nextQuants, nextLow, dotLow0);
        dotHigh0 = TokenTile.dot(nextQuants, nextHigh, dotHigh0);
        const nextTurned1 = Lanes.turn1(nextQuants);
        dotLow1 = TokenTile.dot(nextTurned1, nextLow, dotLow1);
        dotHigh1 = TokenTile.dot(nextTurned1, nextHigh, dotHigh1);
        const nextTurned2 = Lanes.turn2(nextQuants);
        dotLow2 = TokenTile.dot(nextTurned2, nextLow, dotLow2);
        dotHigh2 = TokenTile.dot(nextTurned2, nextHigh, dotHigh2);
        const nextTurned3 = Lanes.turn3(nextQuants);
        dotLow3 = TokenTile.dot(nextTurned3, nextLow, dotLow3);
        dotHigh3 = TokenTile.dot(nextTurned3, nextHigh, dotHigh3);
      }
      const scales = v128.load(activations, QD8_TILE_SCALES_OFFSET);
      const sums = v128.load(activations, QD8_TILE_SUMS_OFFSET);
      const scaleLow = isDecoded
        ? v128.load(weights, DECODED_SCALES_OFFSET)
        : decodeF16x4(weights + QB4W_SCALES_OFFSET, f16Mask, f16Correction);
      const minimumLow = isDecoded
        ? v128.load(weights, DECODED_MINIMA_OFFSET)
        : decodeF16x4(weights + QB4W_MINIMA_OFFSET, f16Mask, f16Correction);
      low0 = TokenTile.addGroup(low0, dotLow0, scaleLow, minimumLow, scales, sums);
      low1 = TokenTile.addGroup(low1, dotLow1, scaleLow, minimumLow, Lanes.turn1(scales), Lanes.turn1(sums));
      low2 = TokenTile.addGroup(low2, dotLow2, scaleLow, minimumLow, Lanes.turn2(scales), Lanes.turn2(sums));
      low3 = TokenTile.addGroup(low3, dotLow3, scaleLow, minimumLow, Lanes.turn3(scales), Lanes.turn3(sums));
      const scaleHigh = isDecoded
        ? v128.load(weights, DECODED_SCALES_OFFSET + HALF_F32_BYTES)
        : decodeF16x4(weights + QB4W_SCALES_OFFSET + HALF_F16_BYTES, f16Mask, f16Correction);
      const minimumHigh = isDecoded
        ? v128.load(weights, DECODED_MINIMA_OFFSET + HALF_F32_BYTES)
        : decodeF16x4(weights + QB4W_MINIMA_OFFSET + HALF_F16_BYTES, f16Mask, f16Correction);
      high0 = TokenTile.addGroup(high0, dotHigh0, scaleHigh, minimumHigh, scales, sums);
      high1 = TokenTile.addGroup(high1, dotHigh1, scaleHigh, minimumHigh, Lanes.turn1(scales), Lanes.turn1(sums));
      high2 = TokenTile.addGroup(high2, dotHigh2, scaleHigh, minimumHigh, Lanes.turn2(scales), Lanes.turn2(sums));
      high3 = TokenTile.addGroup(high3, dotHigh3, scaleHigh, minimumHigh, Lanes.turn3(scales), Lanes.turn3(sums));
      activations += QD8_TILE_GROUP_BYTES;
    }
    storeTurned(output, outputStride, low0, low1, low2, low3);
    storeTurned(output + HALF_F32_BYTES, outputStride, high0, high1, high2, high3);
  }

  @inline
  static dot(quants: v128, weights: v128, sum: v128): v128 {
    return i32x4.relaxed_dot_i8x16_i7x16_add_s(quants, weights, sum);
  }

  @inline
  static addGroup(sum: v128, dot: v128, scale: v128, minimum: v128, scales: v128, sums: v128): v128 {
    const scaled = f32x4.add(sum, f32x4.mul(f32x4.convert_i32x4_s(dot), f32x4.mul(scale, scales)));
    return f32x4.add(scaled, f32x4.mul(minimum, sums));
  }
}
