/**
 * output[token][row] = sum over groups of (quants . nibbles) * (scale * weight scale) + activation sum * minimum, with
 * qd8 activations and qb4w weights. Every product of quants is exact in i32; the f32 sum runs over the groups in order,
 * the scale's term before the minimum's. So a row's result depends on nothing but its own token and weights: any number
 * of tokens in a call gives the same bits.
 */
import { decodeF16, decodeF16x4, loadF16BiasCorrection, loadF16Mask } from './f16';
import {
  F32_BYTES,
  GROUP_COLS,
  QB4W_MINIMA_OFFSET,
  QB4W_QUAD_BYTES,
  QB4W_RECORD_BYTES,
  QB4W_SCALES_OFFSET,
  QD8_GROUP_BYTES,
  QD8_SCALE_OFFSET,
  QD8_SUM_OFFSET,
  QD8_TILE_GROUP_BYTES,
  QD8_TILE_QUAD_BYTES,
  QD8_TILE_SCALES_OFFSET,
  QD8_TILE_SUMS_OFFSET,
  QUADS_PER_GROUP,
  QUAD_COLS,
  TILE_ROWS,
  TOKEN_TILE,
} from './layout';
import { loadNibbleMask, NIBBLE_BITS, NIBBLE_MASK } from './nibbles';
import { decodeTile, multiplyDecoded, multiplyPacked } from './qd8-f32-qb4w-token-tile';
import { isTiled, tokenAddress } from './qd8-quantise';

/** Bytes of four rows' f16 or f32, half a tile. */
const HALF_F16_BYTES: usize = 8;
const HALF_F32_BYTES: usize = 16;

/** Inline functions are static methods here, since TypeScript's grammar has decorators on class members only. */
class Tile {
  /** One tile of 8 rows for two tokens, which share the decoding of the weights. */
  @inline
  static multiplyTwo(
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
    let low0 = f32x4.splat(0);
    let high0 = f32x4.splat(0);
    let low1 = f32x4.splat(0);
    let high1 = f32x4.splat(0);
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
   * One tile of 8 rows for one token. Sums of even and of odd quads are kept apart, since a chain of 8 dot products would
   * take longer than reading the weights does; integers may be added in any order.
   */
  static multiplyOne(output: usize, activations: usize, weights: usize, numGroups: i32): void {
    const mask = loadNibbleMask();
    const f16Mask = loadF16Mask();
    const f16Correction = loadF16BiasCorrection();
    let low = f32x4.splat(0);
    let high = f32x4.splat(0);
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

/** From so many tokens on, decoding a tile once takes less time than decoding it for every four tokens. */
const DECODED_TOKENS_MIN: i32 = 16;

/** Tiles that are fetched together: with two more lines are under way at once than with one, and four crowd each other out. */
const FETCH_TILES: i32 = 2;
const FETCH_ROWS: i32 = FETCH_TILES * TILE_ROWS;
const CACHE_LINE_BYTES: usize = 64;

/**
 * Brings weights into the first cache. Nothing but loads: so many of them fit into a processor's window that memory works
 * on all its lines at once, where a product of four tokens has so much to do with a line that it asks for few.
 * @param to where something of all lines is stored, or else nobody would need the loads
 */
function fetchLines(to: usize, from: usize, bytes: usize): void {
  let seen = i32x4.splat(0);
  for (let end = from + bytes; from < end; from += CACHE_LINE_BYTES) seen = v128.or(seen, v128.load(from));
  v128.store(to, seen);
}

/**
 * @param output f32 `[numTokens][rows]`
 * @param activations qd8 `[numTokens][cols]`
 * @param weights qb4w `[rows, cols]`; `rows` a multiple of 8
 * @param decoded scratch of cols / 32 * `DECODED_RECORD_BYTES`; anything is in it afterwards
 */
export function qd8_f32_qb4w_gemm__simd128(
  output: usize,
  activations: usize,
  weights: usize,
  numTokens: i32,
  rows: i32,
  cols: i32,
  decoded: usize,
): void {
  const numGroups = cols / GROUP_COLS;
  const outputStride: usize = rows * F32_BYTES;
  const activationsStride: usize = numGroups * QD8_GROUP_BYTES;
  const tileBytes: usize = numGroups * QB4W_RECORD_BYTES;
  const isDecoded = numTokens >= DECODED_TOKENS_MIN;
  const isFetched = numTokens >= TOKEN_TILE;
  for (let row = 0; row < rows; row += TILE_ROWS) {
    let from = activations;
    let to = output + row * F32_BYTES;
    let left = numTokens;
    if (isDecoded) decodeTile(decoded, weights, numGroups);
    else if (isFetched && row % FETCH_ROWS == 0) {
      const numTiles = min((rows - row) / TILE_ROWS, FETCH_TILES);
      fetchLines(decoded, weights, numTiles * tileBytes);
    }
    for (; left >= TOKEN_TILE; left -= TOKEN_TILE) {
      if (isDecoded) multiplyDecoded(to, outputStride, from, decoded, numGroups);
      else multiplyPacked(to, outputStride, from, weights, numGroups);
      from += TOKEN_TILE * activationsStride;
      to += TOKEN_TILE * outputStride;
    }
    if (left >= 2) {
      Tile.multiplyTwo(to, outputStride, from, from + activationsStride, weights, numGroups);
      from += 2 * activationsStride;
      to += 2 * outputStride;
      left -= 2;
    }
    if (left == 1) Tile.multiplyOne(to, from, weights, numGroups);
    weights += tileBytes;
  }
}

/** The scalar twin; it needs no scratch. */
export function qd8_f32_qb4w_gemm__scalar(
  output: usize,
  activations: usize,
  weights: usize,
  numTokens: i32,
  rows: i32,
  cols: i32,
  _decoded: usize,
): void {
  const numGroups = cols / GROUP_COLS;
  for (let token = 0; token < numTokens; token++) {
    const tiled = isTiled(token, numTokens);
    const from = tokenAddress(activations, token, numTokens, numGroups);
    const groupBytes = tiled ? QD8_TILE_GROUP_BYTES : QD8_GROUP_BYTES;
    const quadBytes = tiled ? QD8_TILE_QUAD_BYTES : QUAD_COLS;
    const scaleOffset = tiled ? QD8_TILE_SCALES_OFFSET : QD8_SCALE_OFFSET;
    const sumOffset = tiled ? QD8_TILE_SUMS_OFFSET : QD8_SUM_OFFSET;
    for (let row = 0; row < rows; row++) {
      const rowInTile = row % TILE_ROWS;
      const tile = weights + (row / TILE_ROWS) * numGroups * QB4W_RECORD_BYTES;
      let sum: f32 = 0;
      for (let group = 0; group < numGroups; group++) {
        const record = tile + group * QB4W_RECORD_BYTES;
        const quants = from + group * groupBytes;
        const bothScales = decodeF16(record + QB4W_SCALES_OFFSET, rowInTile) * load<f32>(quants + scaleOffset);
        sum += <f32>dotNibbles(quants, quadBytes, record, rowInTile) * bothScales;
        sum += decodeF16(record + QB4W_MINIMA_OFFSET, rowInTile) * load<f32>(quants + sumOffset);
      }
      store<f32>(output + (token * rows + row) * F32_BYTES, sum);
    }
  }
}

function dotNibbles(quants: usize, quadBytes: i32, record: usize, rowInTile: i32): i32 {
  const halfRows = TILE_ROWS / 2;
  const shift = rowInTile < halfRows ? 0 : NIBBLE_BITS;
  let dot = 0;
  for (let col = 0; col < GROUP_COLS; col++) {
    const quad = col / QUAD_COLS;
    const byte = quad * QB4W_QUAD_BYTES + (rowInTile % halfRows) * QUAD_COLS + (col % QUAD_COLS);
    const nibble = ((<i32>load<u8>(record + byte)) >> shift) & NIBBLE_MASK;
    dot += <i32>load<i8>(quants + quad * quadBytes + (col % QUAD_COLS)) * nibble;
  }
  return dot;
}
