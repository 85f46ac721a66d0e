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

/**
 * What the SIMD body takes from memory. A vector constant in the code is made anew by V8 at every use, in three
 * instructions of which one crosses from the integer side; a load that fills all lanes is one.
 */
const CONSTANTS = memory.data<f32>([X_MIN, X_MAX, LOG2_E, ROUND, LN2_HIGH, LN2_LOW, C0, C1, C2, C3, C4, C5, 1]);
const VECTOR_BYTES: usize = 16;
/** Of the 16 f32 that one call of the SIMD body takes. */
export const EXP_BYTES: usize = 64;

/** Inline functions are static methods here, since TypeScript's grammar has decorators on class members only. */
export class Exp {
  /**
   * Stores e^x of four vectors one after the other. They take each step together: one alone waits for the result of every
   * step, and a processor does not look far enough ahead to fill the gaps.
   */
  @inline
  static store__simd128(output: usize, input0: v128, input1: v128, input2: v128, input3: v128): void {
    const xMin = v128.load32_splat(CONSTANTS);
    const xMax = v128.load32_splat(CONSTANTS, 4);
    // In this order of arguments, `pmin` and `pmax` let NaN through; they are one instruction, `min` and `max` are many.
    const x0 = f32x4.pmin(f32x4.pmax(input0, xMin), xMax);
    const x1 = f32x4.pmin(f32x4.pmax(input1, xMin), xMax);
    const x2 = f32x4.pmin(f32x4.pmax(input2, xMin), xMax);
    const x3 = f32x4.pmin(f32x4.pmax(input3, xMin), xMax);
    const log2e = v128.load32_splat(CONSTANTS, 8);
    const round = v128.load32_splat(CONSTANTS, 12);
    const rounded0 = f32x4.add(f32x4.mul(x0, log2e), round);
    const rounded1 = f32x4.add(f32x4.mul(x1, log2e), round);
    const rounded2 = f32x4.add(f32x4.mul(x2, log2e), round);
    const rounded3 = f32x4.add(f32x4.mul(x3, log2e), round);
    const ln2High = v128.load32_splat(CONSTANTS, 16);
    const ln2Low = v128.load32_splat(CONSTANTS, 20);
    const r0 = Exp.remainder(x0, f32x4.sub(rounded0, round), ln2High, ln2Low);
    const r1 = Exp.remainder(x1, f32x4.sub(rounded1, round), ln2High, ln2Low);
    const r2 = Exp.remainder(x2, f32x4.sub(rounded2, round), ln2High, ln2Low);
    const r3 = Exp.remainder(x3, f32x4.sub(rounded3, round), ln2High, ln2Low);
    const c0 = v128.load32_splat(CONSTANTS, 24);
    const c1 = v128.load32_splat(CONSTANTS, 28);
    let p0 = f32x4.add(f32x4.mul(c0, r0), c1);
    let p1 = f32x4.add(f32x4.mul(c0, r1), c1);
    let p2 = f32x4.add(f32x4.mul(c0, r2), c1);
    let p3 = f32x4.add(f32x4.mul(c0, r3), c1);
    const c2 = v128.load32_splat(CONSTANTS, 32);
    p0 = f32x4.add(f32x4.mul(p0, r0), c2);
    p1 = f32x4.add(f32x4.mul(p1, r1), c2);
    p2 = f32x4.add(f32x4.mul(p2, r2), c2);
    p3 = f32x4.add(f32x4.mul(p3, r3), c2);
    const c3 = v128.load32_splat(CONSTANTS, 36);
    p0 = f32x4.add(f32x4.mul(p0, r0), c3);
    p1 = f32x4.add(f32x4.mul(p1, r1), c3);
    p2 = f32x4.add(f32x4.mul(p2, r2), c3);
    p3 = f32x4.add(f32x4.mul(p3, r3), c3);
    const c4 = v128.load32_splat(CONSTANTS, 40);
    p0 = f32x4.add(f32x4.mul(p0, r0), c4);
    p1 = f32x4.add(f32x4.mul(p1, r1), c4);
    p2 = f32x4.add(f32x4.mul(p2, r2), c4);
    p3 = f32x4.add(f32x4.mul(p3, r3), c4);
    const c5 = v128.load32_splat(CONSTANTS, 44);
    p0 = f32x4.add(f32x4.mul(p0, r0), c5);
    p1 = f32x4.add(f32x4.mul(p1, r1), c5);
    p2 = f32x4.add(f32x4.mul(p2, r2), c5);
    p3 = f32x4.add(f32x4.mul(p3, r3), c5);
    const one = v128.load32_splat(CONSTANTS, 48);
    p0 = f32x4.add(f32x4.add(f32x4.mul(p0, f32x4.mul(r0, r0)), r0), one);
    p1 = f32x4.add(f32x4.add(f32x4.mul(p1, f32x4.mul(r1, r1)), r1), one);
    p2 = f32x4.add(f32x4.add(f32x4.mul(p2, f32x4.mul(r2, r2)), r2), one);
    p3 = f32x4.add(f32x4.add(f32x4.mul(p3, f32x4.mul(r3, r3)), r3), one);
    v128.store(output, Exp.scale(p0, rounded0, input0, xMin));
    v128.store(output, Exp.scale(p1, rounded1, input1, xMin), VECTOR_BYTES);
    v128.store(output, Exp.scale(p2, rounded2, input2, xMin), 2 * VECTOR_BYTES);
    v128.store(output, Exp.scale(p3, rounded3, input3, xMin), 3 * VECTOR_BYTES);
  }

  @inline
  static remainder(x: v128, n: v128, ln2High: v128, ln2Low: v128): v128 {
    return f32x4.sub(f32x4.sub(x, f32x4.mul(n, ln2High)), f32x4.mul(n, ln2Low));
  }

  /** p * 2^n, where the low bits of `rounded` are n; 0 for an input below `xMin`. */
  @inline
  static scale(p: v128, rounded: v128, input: v128, xMin: v128): v128 {
    const power = i32x4.shl(i32x4.add(rounded, i32x4.splat(EXPONENT_OFFSET)), F32_MANTISSA_BITS);
    return v128.andnot(f32x4.mul(p, power), f32x4.lt(input, xMin));
  }
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

/** e^x of `size` f32 (a multiple of 16): how tests reach the function. */
export function f32_exp__simd128(output: usize, input: usize, size: i32): void {
  for (let at: usize = 0, end: usize = size * sizeof<f32>(); at < end; at += EXP_BYTES) {
    const from = input + at;
    Exp.store__simd128(
      output + at,
      v128.load(from),
      v128.load(from, VECTOR_BYTES),
      v128.load(from, 2 * VECTOR_BYTES),
      v128.load(from, 3 * VECTOR_BYTES),
    );
  }
}

export function f32_exp__scalar(output: usize, input: usize, size: i32): void {
  for (let at: usize = 0, end: usize = size * sizeof<f32>(); at < end; at += sizeof<f32>()) {
    store<f32>(output + at, exp__scalar(load<f32>(input + at)));
  }
}
