/**
 * The arithmetic of quantising to integers: scale = largest magnitude / largest quant, quants rounded to the nearest, ties
 * to even. Values whose largest magnitude is below `ABS_MIN` become zeros with scale 0.
 */
import { F32_BYTES } from './layout';
import { maxLanesI32 } from './lanes';

export const QUANT8_MAX: f32 = 127;
/** Below this, 127 / magnitude could overflow. No activation that matters is anywhere near. */
export const ABS_MIN: f32 = 7.888609052210118e-31; // 2^-100
const VECTOR_BYTES: usize = 16;

/** Without the sign bit, the bits of f32 are in the order of their values as integers, and NaN comes last. */
const MAGNITUDE_MASK: i32 = 0x7fffffff;

/**
 * 1.5 * 2^23: added to a number below 2^22, it leaves the number rounded to the nearest integer, ties to even, in the low
 * bits of the sum. One addition does what `nearest` and a saturating conversion take a dozen instructions for.
 */
const ROUND: f32 = 12582912;
const ROUND_BITS: i32 = 0x4b400000;
/** What SIMD bodies take from memory, for the reason that `exp.ts` gives; the first is `ROUND` and `ROUND_BITS` alike. */
const CONSTANTS = memory.data<f32>([ROUND, QUANT8_MAX, ABS_MIN]);

export function loadRound(): v128 {
  return v128.load32_splat(CONSTANTS);
}

export function loadQuant8Max(): v128 {
  return v128.load32_splat(CONSTANTS, 4);
}

function loadAbsMin(): v128 {
  return v128.load32_splat(CONSTANTS, 8);
}

/** Largest magnitude of `size` f32 (a multiple of 4), in every lane. NaN if there is one. */
export function absMax__simd128(input: usize, size: i32): v128 {
  const mask = i32x4.splat(MAGNITUDE_MASK);
  let largest = i32x4.splat(0);
  for (let at: usize = 0, end: usize = size * F32_BYTES; at < end; at += VECTOR_BYTES) {
    largest = i32x4.max_s(largest, v128.and(v128.load(input + at), mask));
  }
  return maxLanesI32(largest);
}

export function absMax__scalar(input: usize, size: i32): f32 {
  let largest: i32 = 0;
  for (let index = 0; index < size; index++) {
    largest = max<i32>(largest, load<i32>(input + index * F32_BYTES) & MAGNITUDE_MASK);
  }
  return reinterpret<f32>(largest);
}

/** Factor from values to quants of at most `quantMax`; 0 for a group that is all zeros, or nearly. */
export function inverseScale(largest: f32, quantMax: f32): f32 {
  return largest < ABS_MIN ? 0 : quantMax / largest;
}

/** Factor from quants to values. */
export function scaleOf(largest: f32, quantMax: f32): f32 {
  return largest < ABS_MIN ? 0 : largest / quantMax;
}

/** `inverseScale` in every lane. */
export function inverseScale4(largest: v128, quantMax: v128): v128 {
  return v128.andnot(f32x4.div(quantMax, largest), f32x4.lt(largest, loadAbsMin()));
}

/** `scaleOf` in every lane. */
export function scaleOf4(largest: v128, quantMax: v128): v128 {
  return v128.andnot(f32x4.div(largest, quantMax), f32x4.lt(largest, loadAbsMin()));
}

/** Four f32, of magnitude below 2^22 once scaled, as i32 quants. `round` is what `loadRound` gives. */
export function quantise4(values: v128, inverse: v128, round: v128): v128 {
  return i32x4.sub(f32x4.add(f32x4.mul(values, inverse), round), round);
}

export function quantise1(value: f32, inverse: f32): i32 {
  return reinterpret<i32>(value * inverse + ROUND) - ROUND_BITS;
}

/** Sixteen f32 as int8 quants. */
export function quantise16(input: usize, inverse: v128, round: v128): v128 {
  const low = i16x8.narrow_i32x4_s(
    quantise4(v128.load(input), inverse, round),
    quantise4(v128.load(input, VECTOR_BYTES), inverse, round),
  );
  const high = i16x8.narrow_i32x4_s(
    quantise4(v128.load(input, 2 * VECTOR_BYTES), inverse, round),
    quantise4(v128.load(input, 3 * VECTOR_BYTES), inverse, round),
  );
  return i8x16.narrow_i16x8_s(low, high);
}
