/**
 * e^x in f32, after Cephes' expf (S. Moshier, netlib.org/cephes): x = n ln 2 + r, a polynomial for e^r, times 2^n. Only
 * single operations that IEEE 754 defines, so every machine gives the same bits. Error below 2 ulp for x in
 * [X_MIN, X_MAX]; below X_MIN the result is 0, above X_MAX that of X_MAX.
 */

/** Smallest x whose result is a normal number. */
const X_MIN: f32 = -87.33654;
/** Largest x whose 2^n is finite. */
const X_MAX: f32 = 88.37626;
const LOG2_E: f32 = 1.4426950408889634;
/** ln 2 in two parts; the first has few bits, so that n * LN2_HIGH is exact. */
const LN2_HIGH: f32 = 0.693359375;
const LN2_LOW: f32 = -2.1219444e-4;
const C0: f32 = 1.98756915e-4;
const C1: f32 = 1.3981999507e-3;
const C2: f32 = 8.3334519073e-3;
const C3: f32 = 4.1665795894e-2;
const C4: f32 = 1.6666665459e-1;
const C5: f32 = 5.0000001201e-1;
const F32_EXPONENT_BIAS: i32 = 127;
const F32_MANTISSA_BITS: i32 = 23;
/** Rounds to the nearest integer, which then lies in the low bits: see quantise.ts. */
const ROUND: f32 = 12582912;
/** What makes those low bits the exponent field of 2^n; shifting drops the rest. */
const EXPONENT_OFFSET: i32 = F32_EXPONENT_BIAS - 0x4b400000;

export function exp__simd128(input: v128): v128 {
  // In this order of arguments, `pmin` and `pmax` let NaN through; they are one instruction, `min` and `max` are many.
  const x = f32x4.pmin(f32x4.pmax(input, f32x4.splat(X_MIN)), f32x4.splat(X_MAX));
  const rounded = f32x4.add(f32x4.mul(x, f32x4.splat(LOG2_E)), f32x4.splat(ROUND));
  const n = f32x4.sub(rounded, f32x4.splat(ROUND));
  const remainder = f32x4.sub(x, f32x4.mul(n, f32x4.splat(LN2_HIGH)));
  const r = f32x4.sub(remainder, f32x4.mul(n, f32x4.splat(LN2_LOW)));
  let p = f32x4.splat(C0);
  p = f32x4.add(f32x4.mul(p, r), f32x4.splat(C1));
  p = f32x4.add(f32x4.mul(p, r), f32x4.splat(C2));
  p = f32x4.add(f32x4.mul(p, r), f32x4.splat(C3));
  p = f32x4.add(f32x4.mul(p, r), f32x4.splat(C4));
  p = f32x4.add(f32x4.mul(p, r), f32x4.splat(C5));
  p = f32x4.add(f32x4.add(f32x4.mul(p, f32x4.mul(r, r)), r), f32x4.splat(1));
  const power = i32x4.shl(i32x4.add(rounded, i32x4.splat(EXPONENT_OFFSET)), F32_MANTISSA_BITS);
  return v128.andnot(f32x4.mul(p, power), f32x4.lt(input, f32x4.splat(X_MIN)));
}

export function exp__scalar(input: f32): f32 {
  const atLeast = input < X_MIN ? X_MIN : input;
  const x = X_MAX < atLeast ? X_MAX : atLeast;
  const rounded = x * LOG2_E + ROUND;
  const n = rounded - ROUND;
  const remainder = x - n * LN2_HIGH;
  const r = remainder - n * LN2_LOW;
  let p = C0;
  p = p * r + C1;
  p = p * r + C2;
  p = p * r + C3;
  p = p * r + C4;
  p = p * r + C5;
  p = p * (r * r) + r + 1;
  const power = reinterpret<f32>((reinterpret<i32>(rounded) + EXPONENT_OFFSET) << F32_MANTISSA_BITS);
  return input < X_MIN ? 0 : p * power;
}

/** e^x of `size` f32 (a multiple of 4): how tests reach the function. */
export function f32_exp__simd128(output: usize, input: usize, size: i32): void {
  for (let at: usize = 0, end: usize = size * sizeof<f32>(); at < end; at += sizeof<v128>()) {
    v128.store(output + at, exp__simd128(v128.load(input + at)));
  }
}

export function f32_exp__scalar(output: usize, input: usize, size: i32): void {
  for (let at: usize = 0, end: usize = size * sizeof<f32>(); at < end; at += sizeof<f32>()) {
    store<f32>(output + at, exp__scalar(load<f32>(input + at)));
  }
}
