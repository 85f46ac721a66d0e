/**
 * Softmax over the scores of a sequence, as weights that the attention kernel multiplies with the values of each page.
 *
 * Weights are quantised to 14 bits, so e^x need not be as good as `exp.ts` makes it: 2^y for y = x * log2(e) in one
 * rounding, cut into a whole part, which goes into the exponent, and a rest in [-0.5, 0.5], for which a polynomial of degree
 * 4 (minimax in the relative error, and exact at 0) is right to 2.8e-6. Only single operations that IEEE 754 defines.
 */
import { maxLanesF32, maxLanesI32, sumLanes } from './lanes';
import { F32_BYTES, PAGE_TOKENS, PAGE_TOKENS_F32_BYTES, QUERY_POWER_SUM } from './layout';
import { ABS_MIN, loadRound, quantise4 } from './quantise';

/** Largest quant of a weight. Weights are not negative and need no bias. */
const WEIGHT_QUANT_MAX: f32 = 16383;
const WEIGHT_QUANT_MAX_INVERSE: f32 = 1 / WEIGHT_QUANT_MAX;
/** Scores further below the largest count as this: e^-60 = 9e-27 is nothing beside 1, and its weight still a normal number. */
const X_MIN: f32 = -60;
const LOG2_E: f32 = 1.4426950408889634;
const ROUND: f32 = 12582912;
const C1: f32 = 0.6931469775973302;
const C2: f32 = 0.24022242082675876;
const C3: f32 = 0.0555073374482469;
const C4: f32 = 0.009671512812593933;
const C5: f32 = 0.0013264727213928157;
const F32_MANTISSA_BITS: i32 = 23;
/** Loaded once for all pages, for the reason that `exp.ts` gives. */
const CONSTANTS = memory.data<f32>([
  X_MIN,
  LOG2_E,
  C1,
  C2,
  C3,
  C4,
  1,
  WEIGHT_QUANT_MAX,
  WEIGHT_QUANT_MAX_INVERSE,
  ABS_MIN,
  C5,
]);

const HALF_BITS: i32 = 7;
const HALF_MASK: i32 = 0x7f;
const VECTOR_BYTES: usize = 16;
const PAGE_TABLE_ENTRY_BYTES: usize = 4;
/** In place of a page's scores, 64 bytes: the high halves of 16 weights, their low halves, their scale four times. */
export const WEIGHT_LOW: usize = 16;
export const WEIGHT_SCALE: usize = 32;

/**
 * Replaces the scores of each page by 16 weights, e^(score - largest) * value scale, and their scale, which is the page's
 * own: a long tail of small weights stays as exact as the large ones are. The sum of the powers goes into the head's
 * state.
 * @param scores f32, for `length` positions and the rest of their last page
 * @param scales the value scales of this KV head in page 0; those of page n are n * `pageBytes` further
 * @param lastScales scratch for the 16 value scales of the last page
 */
export function weighPages(
  scores: usize,
  state: usize,
  scales: usize,
  pageBytes: usize,
  pageTable: usize,
  length: i32,
  lastScales: usize,
): void {
  const numPages = (length + PAGE_TOKENS - 1) / PAGE_TOKENS;
  const lastPage = load<u32>(pageTable + (numPages - 1) * PAGE_TABLE_ENTRY_BYTES);
  maskLastPage(scores, lastScales, scales + lastPage * pageBytes, length);
  const largest = largestScore(scores, numPages);
  let sums = f32x4.splat(0);
  for (let page = 0; page < numPages - 1; page++) {
    const pageScales = scales + load<u32>(pageTable + page * PAGE_TABLE_ENTRY_BYTES) * pageBytes;
    sums = Softmax.weighPage(scores, pageScales, largest, sums);
    scores += PAGE_TOKENS_F32_BYTES;
  }
  sums = Softmax.weighPage(scores, lastScales, largest, sums);
  store<f32>(state, sumLanes(sums), QUERY_POWER_SUM);
}

/**
 * What earlier owners left in the last page beyond the sequence must not be seen, whatever it is: its scores become -inf
 * and the value scales, of which a copy is used, 0.
 */
function maskLastPage(scores: usize, lastScales: usize, pageScales: usize, length: i32): void {
  const first = (length - 1) & ~(PAGE_TOKENS - 1);
  for (let slot = 0; slot < PAGE_TOKENS; slot++) {
    const isSeen = first + slot < length;
    store<f32>(lastScales + slot * F32_BYTES, isSeen ? load<f32>(pageScales + slot * F32_BYTES) : 0);
    if (!isSeen) store<f32>(scores + (first + slot) * F32_BYTES, -Infinity);
  }
}

function largestScore(scores: usize, numPages: i32): v128 {
  let largest0 = f32x4.splat(-Infinity);
  let largest1 = largest0;
  for (let at = scores, end = scores + numPages * PAGE_TOKENS_F32_BYTES; at < end; at += PAGE_TOKENS_F32_BYTES) {
    largest0 = f32x4.pmax(f32x4.pmax(v128.load(at), v128.load(at, VECTOR_BYTES)), largest0);
    largest1 = f32x4.pmax(f32x4.pmax(v128.load(at, 2 * VECTOR_BYTES), v128.load(at, 3 * VECTOR_BYTES)), largest1);
  }
  return maxLanesF32(f32x4.pmax(largest0, largest1));
}

/** Inline functions are static methods here, since TypeScript's grammar has decorators on class members only. */
class Softmax {
  /** @returns `sums`, of every fourth position, with this page's powers added. */
  @inline
  static weighPage(scores: usize, scales: usize, largest: v128, sums: v128): v128 {
    const power0 = Softmax.power(f32x4.sub(v128.load(scores), largest));
    const power1 = Softmax.power(f32x4.sub(v128.load(scores, VECTOR_BYTES), largest));
    const power2 = Softmax.power(f32x4.sub(v128.load(scores, 2 * VECTOR_BYTES), largest));
    const power3 = Softmax.power(f32x4.sub(v128.load(scores, 3 * VECTOR_BYTES), largest));
    const weight0 = f32x4.mul(power0, v128.load(scales));
    const weight1 = f32x4.mul(power1, v128.load(scales, VECTOR_BYTES));
    const weight2 = f32x4.mul(power2, v128.load(scales, 2 * VECTOR_BYTES));
    const weight3 = f32x4.mul(power3, v128.load(scales, 3 * VECTOR_BYTES));
    const largestOfEach = i32x4.max_s(i32x4.max_s(weight0, weight1), i32x4.max_s(weight2, weight3));
    const weightMax = f32x4.pmax(maxLanesI32(largestOfEach), v128.load32_splat(CONSTANTS, 36));
    const inverse = f32x4.div(v128.load32_splat(CONSTANTS, 28), weightMax);
    const round = loadRound();
    const lowMask = i16x8.splat(<i16>HALF_MASK);
    const first = i16x8.narrow_i32x4_s(quantise4(weight0, inverse, round), quantise4(weight1, inverse, round));
    const last = i16x8.narrow_i32x4_s(quantise4(weight2, inverse, round), quantise4(weight3, inverse, round));
    const high = i8x16.narrow_i16x8_u(i16x8.shr_u(first, HALF_BITS), i16x8.shr_u(last, HALF_BITS));
    v128.store(scores, high);
    v128.store(scores, i8x16.narrow_i16x8_u(v128.and(first, lowMask), v128.and(last, lowMask)), WEIGHT_LOW);
    v128.store(scores, f32x4.mul(weightMax, v128.load32_splat(CONSTANTS, 32)), WEIGHT_SCALE);
    return f32x4.add(f32x4.add(f32x4.add(f32x4.add(sums, power0), power1), power2), power3);
  }

  /** e^x for x <= 0. */
  @inline
  static power(x: v128): v128 {
    const y = f32x4.mul(f32x4.pmax(x, v128.load32_splat(CONSTANTS)), v128.load32_splat(CONSTANTS, 4));
    const round = loadRound();
    const rounded = f32x4.add(y, round);
    const rest = f32x4.sub(y, f32x4.sub(rounded, round));
    let p = f32x4.add(f32x4.mul(v128.load32_splat(CONSTANTS, 40), rest), v128.load32_splat(CONSTANTS, 20));
    p = f32x4.add(f32x4.mul(p, rest), v128.load32_splat(CONSTANTS, 16));
    p = f32x4.add(f32x4.mul(p, rest), v128.load32_splat(CONSTANTS, 12));
    p = f32x4.add(f32x4.mul(p, rest), v128.load32_splat(CONSTANTS, 8));
    p = f32x4.add(f32x4.mul(p, rest), v128.load32_splat(CONSTANTS, 24));
    // The whole part lies in the low bits of the rounded number: shifted, it is what the exponent grows by.
    return i32x4.add(p, i32x4.shl(rounded, F32_MANTISSA_BITS));
  }
}

/** The scalar twin of `Softmax.power`. */
export function softmaxPower__scalar(input: f32): f32 {
  const x = input < X_MIN ? X_MIN : input;
  const y = x * LOG2_E;
  const rounded = y + ROUND;
  const rest = y - (rounded - ROUND);
  let p = C5 * rest + C4;
  p = p * rest + C3;
  p = p * rest + C2;
  p = p * rest + C1;
  p = p * rest + <f32>1;
  return reinterpret<f32>(reinterpret<i32>(p) + (reinterpret<i32>(rounded) << F32_MANTISSA_BITS));
}

/** Factor from a page's weights to their quants, whose largest is `weightMax`. */
export function weightInverse__scalar(weightMax: f32): f32 {
  return WEIGHT_QUANT_MAX / weightFloor(weightMax);
}

/** Factor from quants to weights. */
export function weightScale__scalar(weightMax: f32): f32 {
  return weightFloor(weightMax) * WEIGHT_QUANT_MAX_INVERSE;
}

/** A page whose values are all zeros has weights of 0, by which nothing can be divided. */
function weightFloor(weightMax: f32): f32 {
  return weightMax < ABS_MIN ? ABS_MIN : weightMax;
}
