/**
 * output[token][row] = sum over groups of (quants . weight quants) * (scale * weight scale), with sign-split qd8
 * activations and qb8w weights, for the LM head. The relaxed dot product is exact only if one operand has 7 bits; here
 * that is the activations, as two dot products: one with the positive quants, minus one with the negative.
 */
import { decodeF16, decodeF16x4, loadF16BiasCorrection, loadF16Mask } from './f16';
import {
  F32_BYTES,
  GROUP_COLS,
  QB8W_QUAD_BYTES,
  QB8W_RECORD_BYTES,
  QB8W_SCALES_OFFSET,
  QD8_SPLIT_GROUP_BYTES,
  QD8_SPLIT_NEGATIVE_OFFSET,
  QD8_SPLIT_QUAD_BYTES,
  QD8_SPLIT_SCALE_OFFSET,
  QUADS_PER_GROUP,
  QUAD_COLS,
  TILE_ROWS,
} from './layout';

const HALF_TILE_BYTES: usize = 16;
const HALF_F16_BYTES: usize = 8;
/** As in `qd8_f32_qb4w_gemm`; a group of a tile has 272 bytes here. */
const STREAMS: i32 = 4;
const RUN_GROUPS: i32 = 3;

class Tile {
  /**
   * One tile of 8 rows for one token; the tile stays in the first cache for the others. Sums of a whole tile go on from what
   * `output` holds; those of a last tile with `numRows` < 8 start from 0, and only they are stored. One load brings both
   * halves of two quads of activations. Sums of even and of odd quads are kept apart, since a chain of 8 dot products
   * would take longer than reading the weights does.
   */
  static multiply(output: usize, numRows: i32, activations: usize, weights: usize, numGroups: i32): void {
    const f16Mask = loadF16Mask();
    const f16Correction = loadF16BiasCorrection();
    let low = f32x4.splat(0);
    let high = f32x4.splat(0);
    if (numRows == TILE_ROWS) {
      low = v128.load(output);
      high = v128.load(output, HALF_TILE_BYTES);
    }
    for (let end = weights + numGroups * QB8W_RECORD_BYTES; weights < end; weights += QB8W_RECORD_BYTES) {
      let evenPositiveLow = i32x4.splat(0);
      let evenPositiveHigh = i32x4.splat(0);
      let evenNegativeLow = i32x4.splat(0);
      let evenNegativeHigh = i32x4.splat(0);
      let oddPositiveLow = i32x4.splat(0);
      let oddPositiveHigh = i32x4.splat(0);
      let oddNegativeLow = i32x4.splat(0);
      let oddNegativeHigh = i32x4.splat(0);
      for (let quad = 0; quad < QUADS_PER_GROUP; quad += 2) {
        const at = weights + quad * QB8W_QUAD_BYTES;
        const quants = v128.load(activations + quad * QD8_SPLIT_QUAD_BYTES);
        const evenLow = v128.load(at);
        const evenHigh = v128.load(at, HALF_TILE_BYTES);
        const evenPositive = Tile.broadcast0(quants);
        const evenNegative = Tile.broadcast1(quants);
        evenPositiveLow = Tile.dot(evenLow, evenPositive, evenPositiveLow);
        evenPositiveHigh = Tile.dot(evenHigh, evenPositive, evenPositiveHigh);
        evenNegativeLow = Tile.dot(evenLow, evenNegative, evenNegativeLow);
        evenNegativeHigh = Tile.dot(evenHigh, evenNegative, evenNegativeHigh);
        const oddLow = v128.load(at, QB8W_QUAD_BYTES);
        const oddHigh = v128.load(at, QB8W_QUAD_BYTES + HALF_TILE_BYTES);
        const oddPositive = Tile.broadcast2(quants);
        const oddNegative = Tile.broadcast3(quants);
        oddPositiveLow = Tile.dot(oddLow, oddPositive, oddPositiveLow);
        oddPositiveHigh = Tile.dot(oddHigh, oddPositive, oddPositiveHigh);
        oddNegativeLow = Tile.dot(oddLow, oddNegative, oddNegativeLow);
        oddNegativeHigh = Tile.dot(oddHigh, oddNegative, oddNegativeHigh);
      }
      const scaleLow = decodeF16x4(weights + QB8W_SCALES_OFFSET, f16Mask, f16Correction);
      const scaleHigh = decodeF16x4(weights + QB8W_SCALES_OFFSET + HALF_F16_BYTES, f16Mask, f16Correction);
      const positiveLow = i32x4.add(evenPositiveLow, oddPositiveLow);
      const positiveHigh = i32x4.add(evenPositiveHigh, oddPositiveHigh);
      low = Tile.addGroup(low, positiveLow, i32x4.add(evenNegativeLow, oddNegativeLow), scaleLow, activations);
      high = Tile.addGroup(high, positiveHigh, i32x4.add(evenNegativeHigh, oddNegativeHigh), scaleHigh, activations);
      activations += QD8_SPLIT_GROUP_BYTES;
    }
    storeRows(output, low, high, numRows);
  }

  @inline
  static dot(weights: v128, quants: v128, sum: v128): v128 {
    return i32x4.relaxed_dot_i8x16_i7x16_add_s(weights, quants, sum);
  }

  @inline
  static broadcast0(lanes: v128): v128 {
    return i8x16.shuffle(lanes, lanes, 0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2, 3);
  }

  @inline
  static broadcast1(lanes: v128): v128 {
    return i8x16.shuffle(lanes, lanes, 4, 5, 6, 7, 4, 5, 6, 7, 4, 5, 6, 7, 4, 5, 6, 7);
  }

  @inline
  static broadcast2(lanes: v128): v128 {
    return i8x16.shuffle(lanes, lanes, 8, 9, 10, 11, 8, 9, 10, 11, 8, 9, 10, 11, 8, 9, 10, 11);
  }

  @inline
  static broadcast3(lanes: v128): v128 {
    return i8x16.shuffle(lanes, lanes, 12, 13, 14, 15, 12, 13, 14, 15, 12, 13, 14, 15, 12, 13, 14, 15);
  }

  @inline
  static addGroup(sum: v128, positive: v128, negative: v128, scale: v128, activations: usize): v128 {
    const dot = f32x4.convert_i32x4_s(i32x4.sub(positive, negative));
    const bothScales = f32x4.mul(scale, v128.load32_splat(activations, QD8_SPLIT_SCALE_OFFSET));
    return f32x4.add(sum, f32x4.mul(dot, bothScales));
  }
}

/** Stores the first `numRows` of 8 results; the last tile of a vocabulary that is no multiple of 8 has fewer. */
function storeRows(output: usize, low: v128, high: v128, numRows: i32): void {
  if (numRows == TILE_ROWS) {
    v128.store(output, low);
    v128.store(output, high, HALF_TILE_BYTES);
    return;
  }
  let left = low;
  for (let row = 0; row < numRows; row++) {
    if (row == TILE_ROWS / 2) left = high;
    store<f32>(output + row * F32_BYTES, f32x4.extract_lane(left, 0));
    left = i8x16.shuffle(left, left, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 0, 1, 2, 3);
  }
}

/**
 * @param output f32 `[numTokens][rows]`
 * @param activations sign-split qd8 `[numTokens][cols]`
 * @param weights qb8w `[rows, cols]`; `rows` is any number, but whole tiles are read
 */
export function qd8_f32_qb8w_gemm__simd128(
  output: usize,
  activations: usize,
  weights: usize,
  numTokens: i32,
  rows: i32,
  cols: i32,
): void {
  const numGroups = cols / GROUP_COLS;
  const outputStride: usize = rows * F32_BYTES;
  const activationsStride: usize = numGroups * QD8_SPLIT_GROUP_BYTES;
  const tileBytes: usize = numGroups * QB8W_RECORD_BYTES;
  const numTiles = rows / TILE_ROWS;
  const tilesPerStream = (numTiles + STREAMS - 1) / STREAMS;
  memory.fill(output, 0, numTokens * outputStride);
  for (let first = 0; first < tilesPerStream; first++) {
    for (let group = 0; group < numGroups; group += RUN_GROUPS) {
      const runGroups = min(RUN_GROUPS, numGroups - group);
      for (let tile = first; tile < numTiles; tile += tilesPerStream) {
        const records = weights + tile * tileBytes + group * QB8W_RECORD_BYTES;
        let from = activations + group * QD8_SPLIT_GROUP_BYTES;
        let to = output + tile * TILE_ROWS * F32_BYTES;
        for (let token = 0; token < numTokens; token++) {
          Tile.multiply(to, TILE_ROWS, from, records, runGroups);
          from += activationsStride;
          to += outputStride;
        }
      }
    }
  }
  const rowsLeft = rows - numTiles * TILE_ROWS;
  if (rowsLeft > 0) {
    let from = activations;
    let to = output + numTiles * TILE_ROWS * F32_BYTES;
    for (let token = 0; token < numTokens; token++) {
      Tile.multiply(to, rowsLeft, from, weights + numTiles * tileBytes, numGroups);
      from += activationsStride;
      to += outputStride;
    }
  }
}

export function qd8_f32_qb8w_gemm__scalar(
  output: usize,
  activations: usize,
  weights: usize,
  numTokens: i32,
  rows: i32,
  cols: i32,
): void {
  const numGroups = cols / GROUP_COLS;
  for (let token = 0; token < numTokens; token++) {
    for (let row = 0; row < rows; row++) {
      const rowInTile = row % TILE_ROWS;
      const tile = weights + (row / TILE_ROWS) * numGroups * QB8W_RECORD_BYTES;
      let sum: f32 = 0;
      for (let group = 0; group < numGroups; group++) {
        const record = tile + group * QB8W_RECORD_BYTES;
        const quants = activations + (token * numGroups + group) * QD8_SPLIT_GROUP_BYTES;
        const scale = decodeF16(record + QB8W_SCALES_OFFSET, rowInTile);
        const bothScales = scale * load<f32>(quants, QD8_SPLIT_SCALE_OFFSET);
        sum += <f32>dotBytes(quants, record, rowInTile) * bothScales;
      }
      store<f32>(output + (token * rows + row) * F32_BYTES, sum);
    }
  }
}

function dotBytes(quants: usize, record: usize, rowInTile: i32): i32 {
  let dot = 0;
  for (let col = 0; col < GROUP_COLS; col++) {
    const byte = (col / QUAD_COLS) * QB8W_QUAD_BYTES + rowInTile * QUAD_COLS + (col % QUAD_COLS);
    const at = quants + (col / QUAD_COLS) * QD8_SPLIT_QUAD_BYTES + (col % QUAD_COLS);
    const quant = <i32>load<u8>(at) - <i32>load<u8>(at, QD8_SPLIT_NEGATIVE_OFFSET);
    dot += quant * <i32>load<i8>(record + byte);
  }
  return dot;
}
