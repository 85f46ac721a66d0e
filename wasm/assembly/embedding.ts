import { decodeF16 } from './f16';
import {
  F32_BYTES,
  GROUP_COLS,
  QB8W_QUAD_BYTES,
  QB8W_RECORD_BYTES,
  QB8W_SCALES_OFFSET,
  QUADS_PER_GROUP,
  QUAD_COLS,
  TILE_ROWS,
} from './layout';

/** Dequantises row `row` of a qb8w matrix `[.., cols]` to f32 `[cols]`. */
export function qb8w_f32_gather__simd128(output: usize, weights: usize, row: i32, cols: i32): void {
  const numGroups = cols / GROUP_COLS;
  const rowInTile = row % TILE_ROWS;
  let record: usize = weights + (row / TILE_ROWS) * numGroups * QB8W_RECORD_BYTES;
  for (let group = 0; group < numGroups; group++) {
    const scale = f32x4.splat(decodeF16(record + QB8W_SCALES_OFFSET, rowInTile));
    for (let quad = 0; quad < QUADS_PER_GROUP; quad++) {
      const bytes = v128.load32_zero(record + quad * QB8W_QUAD_BYTES + rowInTile * QUAD_COLS);
      const quants = i32x4.extend_low_i16x8_s(i16x8.extend_low_i8x16_s(bytes));
      v128.store(output, f32x4.mul(f32x4.convert_i32x4_s(quants), scale));
      output += sizeof<v128>();
    }
    record += QB8W_RECORD_BYTES;
  }
}

export function qb8w_f32_gather__scalar(output: usize, weights: usize, row: i32, cols: i32): void {
  const numGroups = cols / GROUP_COLS;
  const rowInTile = row % TILE_ROWS;
  const tile: usize = weights + (row / TILE_ROWS) * numGroups * QB8W_RECORD_BYTES;
  for (let col = 0; col < cols; col++) {
    const record = tile + (col / GROUP_COLS) * QB8W_RECORD_BYTES;
    const quad = (col % GROUP_COLS) / QUAD_COLS;
    const quant = load<i8>(record + quad * QB8W_QUAD_BYTES + rowInTile * QUAD_COLS + (col % QUAD_COLS));
    const scale = decodeF16(record + QB8W_SCALES_OFFSET, rowInTile);
    store<f32>(output + col * F32_BYTES, <f32>quant * scale);
  }
}
