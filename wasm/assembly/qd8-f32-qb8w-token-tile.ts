/**
 * The part of `qd8_f32_qb8w_gemm` that does a tile of four tokens, as `qd8-f32-qb4w-token-tile.ts` does: one load brings
 * a quad's magnitudes of all four, one its signs, and both are turned to meet the rows of all tokens.
 */
import { decodeF16x4, loadF16BiasCorrection, loadF16Mask } from './f16';
import {
  QB8W_QUAD_BYTES,
  QB8W_RECORD_BYTES,
  QB8W_SCALES_OFFSET,
  QD8_SPLIT_TILE_GROUP_BYTES,
  QD8_SPLIT_TILE_NEGATIVES_OFFSET,
  QD8_SPLIT_TILE_QUAD_BYTES,
  QD8_SPLIT_TILE_SCALES_OFFSET,
  QD8_SPLIT_TILE_SIGNS_OFFSET,
  QUADS_PER_GROUP,
} from './layout';
import { Lanes, storeTurned } from './turned-lanes';

const HALF_TILE_BYTES: usize = 16;
/** Bytes of four rows' f16 or f32. */
const HALF_F16_BYTES: usize = 8;
const HALF_F32_BYTES: usize = 16;

class TokenTile {
  /** `sum` and the products of the weights, with the signs of the activations, and their magnitudes. */
  @inline
  static dot(weights: v128, signs: v128, magnitudes: v128, sum: v128): v128 {
    return i32x4.relaxed_dot_i8x16_i7x16_add_s(v128.xor(weights, signs), magnitudes, sum);
  }

  @inline
  static addGroup(sum: v128, dot: v128, scale: v128, scales: v128): v128 {
    return f32x4.add(sum, f32x4.mul(f32x4.convert_i32x4_s(dot), f32x4.mul(scale, scales)));
  }
}

/** One tile of 8 rows for one tile of tokens. */
export function multiplyTokenTile(
  output: usize,
  outputStride: usize,
  activations: usize,
  weights: usize,
  numGroups: i32,
): void {
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
  for (let end = weights + numGroups * QB8W_RECORD_BYTES; weights < end; weights += QB8W_RECORD_BYTES) {
    let dotLow0 = v128.load(activations, QD8_SPLIT_TILE_NEGATIVES_OFFSET);
    let dotLow1 = Lanes.turn1(dotLow0);
    let dotLow2 = Lanes.turn2(dotLow0);
    let dotLow3 = Lanes.turn3(dotLow0);
    let dotHigh0 = dotLow0;
    let dotHigh1 = dotLow1;
    let dotHigh2 = dotLow2;
    let dotHigh3 = dotLow3;
    for (let quad = 0; quad < QUADS_PER_GROUP; quad += 2) {
      const at = weights + quad * QB8W_QUAD_BYTES;
      const from = activations + quad * QD8_SPLIT_TILE_QUAD_BYTES;
      const low = v128.load(at);
      const high = v128.load(at, HALF_TILE_BYTES);
      const magnitudes = v128.load(from);
      const signs = v128.load(from, QD8_SPLIT_TILE_SIGNS_OFFSET);
      dotLow0 = TokenTile.dot(low, signs, magnitudes, dotLow0);
      dotHigh0 = TokenTile.dot(high, signs, magnitudes, dotHigh0);
      const magnitudes1 = Lanes.turn1(magnitudes);
      const signs1 = Lanes.turn1(signs);
      dotLow1 = TokenTile.dot(low, signs1, magnitudes1, dotLow1);
      dotHigh1 = TokenTile.dot(high, signs1, magnitudes1, dotHigh1);
      const magnitudes2 = Lanes.turn2(magnitudes);
      const signs2 = Lanes.turn2(signs);
      dotLow2 = TokenTile.dot(low, signs2, magnitudes2, dotLow2);
      dotHigh2 = TokenTile.dot(high, signs2, magnitudes2, dotHigh2);
      const magnitudes3 = Lanes.turn3(magnitudes);
      const signs3 = Lanes.turn3(signs);
      dotLow3 = TokenTile.dot(low, signs3, magnitudes3, dotLow3);
      dotHigh3 = TokenTile.dot(high, signs3, magnitudes3, dotHigh3);

      const nextLow = v128.load(at, QB8W_QUAD_BYTES);
      const nextHigh = v128.load(at, QB8W_QUAD_BYTES + HALF_TILE_BYTES);
      const nextMagnitudes = v128.load(from, QD8_SPLIT_TILE_QUAD_BYTES);
      const nextSigns = v128.load(from, QD8_SPLIT_TILE_QUAD_BYTES + QD8_SPLIT_TILE_SIGNS_OFFSET);
      dotLow0 = TokenTile.dot(nextLow, nextSigns, nextMagnitudes, dotLow0);
      dotHigh0 = TokenTile.dot(nextHigh, nextSigns, nextMagnitudes, dotHigh0);
      const nextMagnitudes1 = Lanes.turn1(nextMagnitudes);
      const nextSigns1 = Lanes.turn1(nextSigns);
      dotLow1 = TokenTile.dot(nextLow, nextSigns1, nextMagnitudes1, dotLow1);
      dotHigh1 = TokenTile.dot(nextHigh, nextSigns1, nextMagnitudes1, dotHigh1);
      const nextMagnitudes2 = Lanes.turn2(nextMagnitudes);
      const nextSigns2 = Lanes.turn2(nextSigns);
      dotLow2 = TokenTile.dot(nextLow, nextSigns2, nextMagnitudes2, dotLow2);
      dotHigh2 = TokenTile.dot(nextHigh, nextSigns2, nextMagnitudes2, dotHigh2);
      const nextMagnitudes3 = Lanes.turn3(nextMagnitudes);
      const nextSigns3 = Lanes.turn3(nextSigns);
      dotLow3 = TokenTile.dot(nextLow, nextSigns3, nextMagnitudes3, dotLow3);
      dotHigh3 = TokenTile.dot(nextHigh, nextSigns3, nextMagnitudes3, dotHigh3);
    }
    const scales0 = v128.load(activations, QD8_SPLIT_TILE_SCALES_OFFSET);
    const scales1 = Lanes.turn1(scales0);
    const scales2 = Lanes.turn2(scales0);
    const scales3 = Lanes.turn3(scales0);
    const scaleLow = decodeF16x4(weights + QB8W_SCALES_OFFSET, f16Mask, f16Correction);
    low0 = TokenTile.addGroup(low0, dotLow0, scaleLow, scales0);
    low1 = TokenTile.addGroup(low1, dotLow1, scaleLow, scales1);
    low2 = TokenTile.addGroup(low2, dotLow2, scaleLow, scales2);
    low3 = TokenTile.addGroup(low3, dotLow3, scaleLow, scales3);
    const scaleHigh = decodeF16x4(weights + QB8W_SCALES_OFFSET + HALF_F16_BYTES, f16Mask, f16Correction);
    high0 = TokenTile.addGroup(high0, dotHigh0, scaleHigh, scales0);
    high1 = TokenTile.addGroup(high1, dotHigh1, scaleHigh, scales1);
    high2 = TokenTile.addGroup(high2, dotHigh2, scaleHigh, scales2);
    high3 = TokenTile.addGroup(high3, dotHigh3, scaleHigh, scales3);
    activations += QD8_SPLIT_TILE_GROUP_BYTES;
  }
  storeTurned(output, outputStride, low0, low1, low2, low3);
  storeTurned(output + HALF_F32_BYTES, outputStride, high0, high1, high2, high3);
}
