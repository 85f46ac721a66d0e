/**
 * output[token][row] = sum over groups of (quants . weight quants) * (scale * weight scale), with sign-split qd8
 * activations and qb8w weights, for the LM head. The relaxed dot product is exact only if one operand has 7 bits; here
 * that is the magnitude of the activation, whose sign goes over to the weight: with the sign s, 0 or -1,
 *
 *     quant * weight = magnitude * (weight xor s) + magnitude * -s
 *
 * and the sum of the second terms is the same for every row: it is computed with the activations, and sums start from it.
 */
import { decodeF16, decodeF16x4, loadF16BiasCorrection, loadF16Mask } from './f16';
import { fetchLines } from './fetch-lines';
import {
  F32_BYTES,
  GROUP_COLS,
  QB8W_QUAD_BYTES,
  QB8W_RECORD_BYTES,
  QB8W_SCALES_OFFSET,
  QD8_SPLIT_GROUP_BYTES,
  QD8_SPLIT_NEGATIVES_OFFSET,
  QD8_SPLIT_QUAD_BYTES,
  QD8_SPLIT_SCALE_OFFSET,
  QD8_SPLIT_SIGNS_OFFSET,
  QD8_SPLIT_TILE_GROUP_BYTES,
  QD8_SPLIT_TILE_QUAD_BYTES,
  QD8_SPLIT_TILE_SCALES_OFFSET,
  QD8_SPLIT_TILE_SIGNS_OFFSET,
  QUADS_PER_GROUP,
  QUAD_COLS,
  TILE_ROWS,
  TOKEN_TILE,
} from './layout';
import { multiplyTokenTile } from './qd8-f32-qb8w-token-tile';
import { isTiled, splitTokenAddress } from './qd8-quantise';

const HALF_TILE_BYTES: usize = 16;
/** Bytes of four rows' f16 or f32. */
const HALF_F16_BYTES: usize = 8;
const HALF_F32_BYTES: usize = 16;

/** As in `qd8_f32_qb4w_gemm`; a group of a tile has 272 bytes here. */
const STREAMS: i32 = 4;
const RUN_GROUPS: i32 = 3;
const FETCH_TILES: i32 = 2;

/** Results of whole tiles whose rows are not all wanted. */
const WHOLE_TILES: usize = memory.data(TOKEN_TILE * TILE_ROWS * F32_BYTES);
const WHOLE_TILE_BYTES: usize = TILE_ROWS * F32_BYTES;

class Tile {
  /**
   * One tile of 8 rows for one token: goes on with the sums that `output` holds. One load brings magnitudes and signs of two
   * quads. Sums of even and of odd quads are kept apart, since a chain of 8 dot products would take longer than reading the
   * weights does.
   */
  static multiplyOne(output: usize, activations: usize, weights: usize, numGroups: i32): void {
    const f16Mask = loadF16Mask();
    const f16Correction = loadF16BiasCorrection();
    let low = v128.load(output);
    let high = v128.load(output, HALF_F32_BYTES);
    for (let end = weights + numGroups * QB8W_RECORD_BYTES; weights < end; weights += QB8W_RECORD_BYTES) {
      let evenLow = v128.load32_splat(activations, QD8_SPLIT_NEGATIVES_OFFSET);
      let evenHigh = evenLow;
      let oddLow = i32x4.splat(0);
      let oddHigh = i32x4.splat(0);
      for (let quad = 0; quad < QUADS_PER_GROUP; quad += 2) {
        const at = weights + quad * QB8W_QUAD_BYTES;
        const quants = v128.load(activations + quad * QD8_SPLIT_QUAD_BYTES);
        const evenMagnitudes = Tile.broadcast0(quants);
        const evenSigns = Tile.broadcast1(quants);
        evenLow = Tile.dot(v128.xor(v128.load(at), evenSigns), evenMagnitudes, evenLow);
        evenHigh = Tile.dot(v128.xor(v128.load(at, HALF_TILE_BYTES), evenSigns), evenMagnitudes, evenHigh);
        const oddMagnitudes = Tile.broadcast2(quants);
        const oddSigns = Tile.broadcast3(quants);
        const odd = at + QB8W_QUAD_BYTES;
        oddLow = Tile.dot(v128.xor(v128.load(odd), oddSigns), oddMagnitudes, oddLow);
        oddHigh = Tile.dot(v128.xor(v128.load(odd, HALF_TILE_BYTES), oddSigns), oddMagnitudes, oddHigh);
      }
      const scaleLow = decodeF16x4(weights + QB8W_SCALES_OFFSET, f16Mask, f16Correction);
      const scaleHigh = decodeF16x4(weights + QB8W_SCALES_OFFSET + HALF_F16_BYTES, f16Mask, f16Correction);
      low = Tile.addGroup(low, i32x4.add(evenLow, oddLow), scaleLow, activations);
      high = Tile.addGroup(high, i32x4.add(evenHigh, oddHigh), scaleHigh, activations);
      activations += QD8_SPLIT_GROUP_BYTES;
    }
    v128.store(output, low);
    v128.store(output, high, HALF_F32_BYTES);
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
  static addGroup(sum: v128, dot: v128, scale: v128, activations: usize): v128 {
    const bothScales = f32x4.mul(scale, v128.load32_splat(activations, QD8_SPLIT_SCALE_OFFSET));
    return f32x4.add(sum, f32x4.mul(f32x4.convert_i32x4_s(dot), bothScales));
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
  const numTiles = rows / TILE_ROWS;
  const numLeft = numTokens % TOKEN_TILE;
  // Sums of the tokens beyond the tiles of four go on from what `output` holds.
  memory.fill(output + (numTokens - numLeft) * outputStride, 0, numLeft * outputStride);
  if (numTokens < TOKEN_TILE)
    multiplyStreams(output, outputStride, activations, weights, numTokens, numTiles, numGroups);
  else multiplyTiles(output, outputStride, activations, weights, numTokens, numTiles, numGroups);
  const rowsLeft = rows - numTiles * TILE_ROWS;
  if (rowsLeft > 0) {
    const lastTile = weights + numTiles * numGroups * QB8W_RECORD_BYTES;
    const lastRows = output + numTiles * TILE_ROWS * F32_BYTES;
    multiplyRowsLeft(lastRows, outputStride, activations, lastTile, numTokens, rowsLeft, numGroups);
  }
}

/** One to three tokens: runs of `RUN_GROUPS` groups from `STREAMS` equal ranges of rows in turn. */
function multiplyStreams(
  output: usize,
  outputStride: usize,
  activations: usize,
  weights: usize,
  numTokens: i32,
  numTiles: i32,
  numGroups: i32,
): void {
  const activationsStride: usize = numGroups * QD8_SPLIT_GROUP_BYTES;
  const tileBytes: usize = numGroups * QB8W_RECORD_BYTES;
  const tilesPerStream = (numTiles + STREAMS - 1) / STREAMS;
  for (let first = 0; first < tilesPerStream; first++) {
    for (let group = 0; group < numGroups; group += RUN_GROUPS) {
      const runGroups = min(RUN_GROUPS, numGroups - group);
      for (let tile = first; tile < numTiles; tile += tilesPerStream) {
        const run = weights + tile * tileBytes + group * QB8W_RECORD_BYTES;
        let from = activations + group * QD8_SPLIT_GROUP_BYTES;
        let to = output + tile * TILE_ROWS * F32_BYTES;
        for (let token = 0; token < numTokens; token++) {
          Tile.multiplyOne(to, from, run, runGroups);
          from += activationsStride;
          to += outputStride;
        }
      }
    }
  }
}

/** A tile of 8 rows after the other, for all tokens. */
function multiplyTiles(
  output: usize,
  outputStride: usize,
  activations: usize,
  weights: usize,
  numTokens: i32,
  numTiles: i32,
  numGroups: i32,
): void {
  const tileBytes: usize = numGroups * QB8W_RECORD_BYTES;
  for (let tile = 0; tile < numTiles; tile++) {
    if (tile % FETCH_TILES == 0) fetchLines(WHOLE_TILES, weights, min(numTiles - tile, FETCH_TILES) * tileBytes);
    multiplyTile(output, outputStride, activations, weights, numTokens, numGroups);
    output += TILE_ROWS * F32_BYTES;
    weights += tileBytes;
  }
}

/** The last rows of a vocabulary that is no multiple of 8: a whole tile is computed, and what there is of it is kept. */
function multiplyRowsLeft(
  output: usize,
  outputStride: usize,
  activations: usize,
  weights: usize,
  numTokens: i32,
  numRows: i32,
  numGroups: i32,
): void {
  const activationsStride: usize = numGroups * QD8_SPLIT_GROUP_BYTES;
  const numTiled = numTokens - (numTokens % TOKEN_TILE);
  for (let token = 0; token < numTokens;) {
    const numTogether = token < numTiled ? TOKEN_TILE : 1;
    memory.fill(WHOLE_TILES, 0, WHOLE_TILE_BYTES);
    multiplyTile(WHOLE_TILES, WHOLE_TILE_BYTES, activations, weights, numTogether, numGroups);
    for (let end = token + numTogether, from = WHOLE_TILES; token < end; token++, from += WHOLE_TILE_BYTES) {
      memory.copy(output, from, numRows * F32_BYTES);
      output += outputStride;
    }
    activations += numTogether * activationsStride;
  }
}

/** A tile of 8 rows for all tokens; the rows of those beyond the tiles of four are added to what `output` holds. */
function multiplyTile(
  output: usize,
  outputStride: usize,
  activations: usize,
  weights: usize,
  numTokens: i32,
  numGroups: i32,
): void {
  const activationsStride: usize = numGroups * QD8_SPLIT_GROUP_BYTES;
  let left = numTokens;
  for (; left >= TOKEN_TILE; left -= TOKEN_TILE) {
    multiplyTokenTile(output, outputStride, activations, weights, numGroups);
    activations += TOKEN_TILE * activationsStride;
    output += TOKEN_TILE * outputStride;
  }
  for (; left > 0; left--) {
    Tile.multiplyOne(output, activations, weights, numGroups);
    activations += activationsStride;
    output += outputStride;
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
    const tiled = isTiled(token, numTokens);
    const from = splitTokenAddress(activations, token, numTokens, numGroups);
    const groupBytes = tiled ? QD8_SPLIT_TILE_GROUP_BYTES : QD8_SPLIT_GROUP_BYTES;
    const quadBytes = tiled ? QD8_SPLIT_TILE_QUAD_BYTES : QD8_SPLIT_QUAD_BYTES;
    const signsOffset = tiled ? QD8_SPLIT_TILE_SIGNS_OFFSET : QD8_SPLIT_SIGNS_OFFSET;
    const scaleOffset = tiled ? QD8_SPLIT_TILE_SCALES_OFFSET : QD8_SPLIT_SCALE_OFFSET;
    for (let row = 0; row < rows; row++) {
      const rowInTile = row % TILE_ROWS;
      const tile = weights + (row / TILE_ROWS) * numGroups * QB8W_RECORD_BYTES;
      let sum: f32 = 0;
      for (let group = 0; group < numGroups; group++) {
        const record = tile + group * QB8W_RECORD_BYTES;
        const quants = from + group * groupBytes;
        const bothScales = decodeF16(record + QB8W_SCALES_OFFSET, rowInTile) * load<f32>(quants + scaleOffset);
        sum += <f32>dotBytes(quants, quadBytes, signsOffset, record, rowInTile) * bothScales;
      }
      store<f32>(output + (token * rows + row) * F32_BYTES, sum);
    }
  }
}

function dotBytes(quants: usize, quadBytes: i32, signsOffset: i32, record: usize, rowInTile: i32): i32 {
  let dot = 0;
  for (let col = 0; col < GROUP_COLS; col++) {
    const byte = (col / QUAD_COLS) * QB8W_QUAD_BYTES + rowInTile * QUAD_COLS + (col % QUAD_COLS);
    const at = quants + (col / QUAD_COLS) * quadBytes + (col % QUAD_COLS);
    const magnitude = <i32>load<u8>(at);
    const weight = <i32>load<i8>(record + byte);
    dot += load<i8>(at + signsOffset) == 0 ? magnitude * weight : -magnitude * weight;
  }
  return dot;
}
