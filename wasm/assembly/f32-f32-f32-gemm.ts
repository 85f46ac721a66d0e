/**
 * output[token][row] = activations[token] . weights[row], all f32, for the linear layer of a classifier. Lane l of an
 * output's accumulator sums the columns that are l modulo 4, in order; the lanes are added at the end.
 */
import { sumLanes } from './lanes';
import { F32_BYTES } from './layout';

const TILE_TOKENS: i32 = 4;
const TILE_ROWS: i32 = 2;

/**
 * @param output f32 `[numTokens, rows]`
 * @param activations f32 `[numTokens, cols]`
 * @param weights f32 `[rows, cols]`; `cols` a multiple of 4
 */
export function f32_f32_f32_gemm__simd128(
  output: usize,
  activations: usize,
  weights: usize,
  numTokens: i32,
  rows: i32,
  cols: i32,
): void {
  const colBytes: usize = cols * F32_BYTES;
  const outputBytes: usize = rows * F32_BYTES;
  let row = 0;
  // Two rows of weights stay in the first cache while all tokens pass by.
  for (; row + TILE_ROWS <= rows; row += TILE_ROWS) {
    const rowWeights: usize = weights + row * colBytes;
    let to: usize = output + row * F32_BYTES;
    let from = activations;
    let token = 0;
    for (; token + TILE_TOKENS <= numTokens; token += TILE_TOKENS) {
      multiplyTile(to, outputBytes, from, rowWeights, colBytes);
      from += TILE_TOKENS * colBytes;
      to += TILE_TOKENS * outputBytes;
    }
    for (; token < numTokens; token++) {
      store<f32>(to, multiplyOne(from, rowWeights, colBytes));
      store<f32>(to + F32_BYTES, multiplyOne(from, rowWeights + colBytes, colBytes));
      from += colBytes;
      to += outputBytes;
    }
  }
  if (row < rows) {
    for (let token = 0; token < numTokens; token++) {
      const sum = multiplyOne(activations + token * colBytes, weights + row * colBytes, colBytes);
      store<f32>(output + token * outputBytes + row * F32_BYTES, sum);
    }
  }
}

/** Four tokens, two rows: eight sums, for which six vectors are loaded. More would not fit the sixteen registers of x64. */
function multiplyTile(output: usize, outputBytes: usize, tokens: usize, weights: usize, colBytes: usize): void {
  const token1 = tokens + colBytes;
  const token2 = token1 + colBytes;
  const token3 = token2 + colBytes;
  const weights1 = weights + colBytes;
  let sum00 = f32x4.splat(0);
  let sum01 = f32x4.splat(0);
  let sum10 = f32x4.splat(0);
  let sum11 = f32x4.splat(0);
  let sum20 = f32x4.splat(0);
  let sum21 = f32x4.splat(0);
  let sum30 = f32x4.splat(0);
  let sum31 = f32x4.splat(0);
  for (let at: usize = 0; at < colBytes; at += sizeof<v128>()) {
    const w0 = v128.load(weights + at);
    const w1 = v128.load(weights1 + at);
    const x0 = v128.load(tokens + at);
    sum00 = f32x4.add(sum00, f32x4.mul(x0, w0));
    sum01 = f32x4.add(sum01, f32x4.mul(x0, w1));
    const x1 = v128.load(token1 + at);
    sum10 = f32x4.add(sum10, f32x4.mul(x1, w0));
    sum11 = f32x4.add(sum11, f32x4.mul(x1, w1));
    const x2 = v128.load(token2 + at);
    sum20 = f32x4.add(sum20, f32x4.mul(x2, w0));
    sum21 = f32x4.add(sum21, f32x4.mul(x2, w1));
    const x3 = v128.load(token3 + at);
    sum30 = f32x4.add(sum30, f32x4.mul(x3, w0));
    sum31 = f32x4.add(sum31, f32x4.mul(x3, w1));
  }
  storePair(output, sum00, sum01);
  storePair(output + outputBytes, sum10, sum11);
  storePair(output + outputBytes * 2, sum20, sum21);
  storePair(output + outputBytes * 3, sum30, sum31);
}

function storePair(output: usize, sum0: v128, sum1: v128): void {
  store<f32>(output, sumLanes(sum0));
  store<f32>(output, sumLanes(sum1), F32_BYTES);
}

function multiplyOne(token: usize, weights: usize, colBytes: usize): f32 {
  let sum = f32x4.splat(0);
  for (let at: usize = 0; at < colBytes; at += sizeof<v128>()) {
    sum = f32x4.add(sum, f32x4.mul(v128.load(token + at), v128.load(weights + at)));
  }
  return sumLanes(sum);
}

export function f32_f32_f32_gemm__scalar(
  output: usize,
  activations: usize,
  weights: usize,
  numTokens: i32,
  rows: i32,
  cols: i32,
): void {
  for (let token = 0; token < numTokens; token++) {
    for (let row = 0; row < rows; row++) {
      const x: usize = activations + token * cols * F32_BYTES;
      const w: usize = weights + row * cols * F32_BYTES;
      let sum0: f32 = 0;
      let sum1: f32 = 0;
      let sum2: f32 = 0;
      let sum3: f32 = 0;
      for (let at: usize = 0, end: usize = cols * F32_BYTES; at < end; at += 4 * F32_BYTES) {
        sum0 += load<f32>(x + at) * load<f32>(w + at);
        sum1 += load<f32>(x + at, F32_BYTES) * load<f32>(w + at, F32_BYTES);
        sum2 += load<f32>(x + at, 2 * F32_BYTES) * load<f32>(w + at, 2 * F32_BYTES);
        sum3 += load<f32>(x + at, 3 * F32_BYTES) * load<f32>(w + at, 3 * F32_BYTES);
      }
      store<f32>(output + (token * rows + row) * F32_BYTES, sum0 + sum1 + (sum2 + sum3));
    }
  }
}
