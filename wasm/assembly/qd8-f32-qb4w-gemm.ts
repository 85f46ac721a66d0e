/**
 * output[token][row] = sum over groups of (quants . nibbles) * (scale * weight scale) + activation sum * minimum, with
 * qd8 activations and qb4w weights. Every product of quants is exact in i32; the f32 sum runs over the groups in order,
 * the scale's term before the minimum's. So a row's result depends on nothing but its own token and weights: any number
 * of tokens in a call gives the same bits.
 */
import { decodeF16 } from './f16';
import { fetchLines } from './fetch-lines';
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
import { NIBBLE_BITS, NIBBLE_MASK } from './nibbles';
import { multiplyOne, multiplyTwo } from './qd8-f32-qb4w-few-tokens';
import { decodeTile, multiplyDecoded, multiplyPacked } from './qd8-f32-qb4w-token-tile';
import { isTiled, tokenAddress } from './qd8-quantise';

/** From so many tokens on, decoding a tile once takes less time than decoding it for every four tokens. */
const DECODED_TOKENS_MIN: i32 = 16;
/** Tiles that are fetched together: with two more lines are under way at once than with one, and four crowd each other out. */
const FETCH_TILES: i32 = 2;
const FETCH_ROWS: i32 = FETCH_TILES * TILE_ROWS;
/**
 * Of one to three tokens, weights come from so many places in turn, and from each so many groups of a tile (480 bytes) at a
 * time. A processor fetches ahead within the 4 KiB of each place that is read in order; with one place it waits at the end
 * of each.
 */
const STREAMS: i32 = 4;
const RUN_GROUPS: i32 = 3;

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
  const numLeft = numTokens % TOKEN_TILE;
  // Sums of the tokens beyond the tiles of four go on from what `output` holds.
  memory.fill(output + (numTokens - numLeft) * outputStride, 0, numLeft * outputStride);
  if (numTokens < TOKEN_TILE) multiplyStreams(output, activations, weights, numTokens, rows, numGroups);
  else multiplyTiles(output, activations, weights, numTokens, rows, numGroups, decoded);
}

/** A tile of 8 rows after the other, for all tokens. */
function multiplyTiles(
  output: usize,
  activations: usize,
  weights: usize,
  numTokens: i32,
  rows: i32,
  numGroups: i32,
  decoded: usize,
): void {
  const outputStride: usize = rows * F32_BYTES;
  const activationsStride: usize = numGroups * QD8_GROUP_BYTES;
  const tileBytes: usize = numGroups * QB4W_RECORD_BYTES;
  const isDecoded = numTokens >= DECODED_TOKENS_MIN;
  for (let row = 0; row < rows; row += TILE_ROWS) {
    let from = activations;
    let to = output + row * F32_BYTES;
    let left = numTokens;
    if (isDecoded) decodeTile(decoded, weights, numGroups);
    else if (row % FETCH_ROWS == 0) {
      fetchLines(decoded, weights, min((rows - row) / TILE_ROWS, FETCH_TILES) * tileBytes);
    }
    for (; left >= TOKEN_TILE; left -= TOKEN_TILE) {
      if (isDecoded) multiplyDecoded(to, outputStride, from, decoded, numGroups);
      else multiplyPacked(to, outputStride, from, weights, numGroups);
      from += TOKEN_TILE * activationsStride;
      to += TOKEN_TILE * outputStride;
    }
    multiplyFew(to, outputStride, from, activationsStride, weights, numGroups, left);
    weights += tileBytes;
  }
}

/** One to three tokens: runs of `RUN_GROUPS` groups from `STREAMS` equal ranges of rows in turn. */
function multiplyStreams(
  output: usize,
  activations: usize,
  weights: usize,
  numTokens: i32,
  rows: i32,
  numGroups: i32,
): void {
  const outputStride: usize = rows * F32_BYTES;
  const activationsStride: usize = numGroups * QD8_GROUP_BYTES;
  const tileBytes: usize = numGroups * QB4W_RECORD_BYTES;
  const numTiles = rows / TILE_ROWS;
  const tilesPerStream = (numTiles + STREAMS - 1) / STREAMS;
  for (let first = 0; first < tilesPerStream; first++) {
    for (let group = 0; group < numGroups; group += RUN_GROUPS) {
      const runGroups = min(RUN_GROUPS, numGroups - group);
      const from = activations + group * QD8_GROUP_BYTES;
      for (let tile = first; tile < numTiles; tile += tilesPerStream) {
        const run = weights + tile * tileBytes + group * QB4W_RECORD_BYTES;
        const to = output + tile * TILE_ROWS * F32_BYTES;
        multiplyFew(to, outputStride, from, activationsStride, run, runGroups, numTokens);
      }
    }
  }
}

/** A tile of 8 rows for 0 to 3 tokens, that is for two, one or both. */
function multiplyFew(
  output: usize,
  outputStride: usize,
  activations: usize,
  activationsStride: usize,
  weights: usize,
  numGroups: i32,
  numTokens: i32,
): void {
  if (numTokens >= 2) {
    multiplyTwo(output, outputStride, activations, activations + activationsStride, weights, numGroups);
    output += 2 * outputStride;
    activations += 2 * activationsStride;
  }
  if (numTokens & 1) multiplyOne(output, activations, weights, numGroups);
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
