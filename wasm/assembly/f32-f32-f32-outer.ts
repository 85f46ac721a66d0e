/**
 * output[row][col] += sum over tokens of residuals[token][row] * features[token][col], all f32: the gradient of a
 * classifier's linear layer. Tokens are added in order, so every split of a batch that keeps the order gives the same.
 */
import { F32_BYTES } from './layout';

const TILE_ROWS: i32 = 4;
/** Columns of a tile, two vectors: the features of all tokens under them stay in the first cache for all rows. */
const TILE_COLS: i32 = 8;

/**
 * @param output f32 `[rows, cols]`, added to; `cols` a multiple of 8
 * @param residuals f32 `[numTokens, rows]`
 * @param features f32 `[numTokens, cols]`
 */
export function f32_f32_f32_outer__simd128(
  output: usize,
  residuals: usize,
  features: usize,
  numTokens: i32,
  rows: i32,
  cols: i32,
): void {
  const colBytes: usize = cols * F32_BYTES;
  for (let at: usize = 0; at < colBytes; at += TILE_COLS * F32_BYTES) {
    let row = 0;
    for (; row + TILE_ROWS <= rows; row += TILE_ROWS) {
      addTile(output + row * colBytes + at, residuals + row * F32_BYTES, features + at, numTokens, rows, colBytes);
    }
    for (; row < rows; row++) {
      addRow(output + row * colBytes + at, residuals + row * F32_BYTES, features + at, numTokens, rows, colBytes);
    }
  }
}

function addTile(to: usize, residuals: usize, features: usize, numTokens: i32, rows: i32, colBytes: usize): void {
  const to1 = to + colBytes;
  const to2 = to1 + colBytes;
  const to3 = to2 + colBytes;
  let sum00 = v128.load(to);
  let sum01 = v128.load(to, 16);
  let sum10 = v128.load(to1);
  let sum11 = v128.load(to1, 16);
  let sum20 = v128.load(to2);
  let sum21 = v128.load(to2, 16);
  let sum30 = v128.load(to3);
  let sum31 = v128.load(to3, 16);
  for (let token = 0; token < numTokens; token++) {
    const x0 = v128.load(features);
    const x1 = v128.load(features, 16);
    // One load and four shuffles: the Workers runtime checks the bounds of every load.
    const four = v128.load(residuals);
    const r0 = i8x16.shuffle(four, four, 0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2, 3);
    sum00 = f32x4.add(sum00, f32x4.mul(r0, x0));
    sum01 = f32x4.add(sum01, f32x4.mul(r0, x1));
    const r1 = i8x16.shuffle(four, four, 4, 5, 6, 7, 4, 5, 6, 7, 4, 5, 6, 7, 4, 5, 6, 7);
    sum10 = f32x4.add(sum10, f32x4.mul(r1, x0));
    sum11 = f32x4.add(sum11, f32x4.mul(r1, x1));
    const r2 = i8x16.shuffle(four, four, 8, 9, 10, 11, 8, 9, 10, 11, 8, 9, 10, 11, 8, 9, 10, 11);
    sum20 = f32x4.add(sum20, f32x4.mul(r2, x0));
    sum21 = f32x4.add(sum21, f32x4.mul(r2, x1));
    const r3 = i8x16.shuffle(four, four, 12, 13, 14, 15, 12, 13, 14, 15, 12, 13, 14, 15, 12, 13, 14, 15);
    sum30 = f32x4.add(sum30, f32x4.mul(r3, x0));
    sum31 = f32x4.add(sum31, f32x4.mul(r3, x1));
    residuals += rows * F32_BYTES;
    features += colBytes;
  }
  v128.store(to, sum00);
  v128.store(to, sum01, 16);
  v128.store(to1, sum10);
  v128.store(to1, sum11, 16);
  v128.store(to2, sum20);
  v128.store(to2, sum21, 16);
  v128.store(to3, sum30);
  v128.store(to3, sum31, 16);
}

/** The rows that are left over by the tiles. */
function addRow(to: usize, residuals: usize, features: usize, numTokens: i32, rows: i32, colBytes: usize): void {
  let sum0 = v128.load(to);
  let sum1 = v128.load(to, 16);
  for (let token = 0; token < numTokens; token++) {
    const r = v128.load32_splat(residuals);
    sum0 = f32x4.add(sum0, f32x4.mul(r, v128.load(features)));
    sum1 = f32x4.add(sum1, f32x4.mul(r, v128.load(features, 16)));
    residuals += rows * F32_BYTES;
    features += colBytes;
  }
  v128.store(to, sum0);
  v128.store(to, sum1, 16);
}

export function f32_f32_f32_outer__scalar(
  output: usize,
  residuals: usize,
  features: usize,
  numTokens: i32,
  rows: i32,
  cols: i32,
): void {
  for (let row = 0; row < rows; row++) {
    for (let col = 0; col < cols; col++) {
      const to: usize = output + (row * cols + col) * F32_BYTES;
      let sum = load<f32>(to);
      for (let token = 0; token < numTokens; token++) {
        const residual = load<f32>(residuals + (token * rows + row) * F32_BYTES);
        sum += residual * load<f32>(features + (token * cols + col) * F32_BYTES);
      }
      store<f32>(to, sum);
    }
  }
}
