import { F16_BYTES } from './layout';

/** A sign-extended f16 shifted here has its exponent and mantissa where those of an f32 are. */
const SHIFT: i32 = 13;
/** Drops the copies of the sign between the f32's sign and its exponent. */
const MASK: i32 = 0x8fffe000;
/** Corrects the exponent's bias, 127 - 15. Multiplying instead of adding makes subnormals come out exact, too. */
const BIAS_CORRECTION: f32 = 5.192296858534828e33; // 2^112

const maskInMemory = memory.data<i32>([MASK]);
const biasCorrectionInMemory = memory.data<f32>([BIAS_CORRECTION]);

/** Loaded once before a loop: see `constants.ts`. */
export function loadF16Mask(): v128 {
  return v128.load32_splat(maskInMemory);
}

export function loadF16BiasCorrection(): v128 {
  return v128.load32_splat(biasCorrectionInMemory);
}

/**
 * Four f16 at `pointer` as f32, exactly. Infinities and NaN are not known here (they become finite numbers), so the
 * converter writes none.
 */
export function decodeF16x4(pointer: usize, mask: v128, biasCorrection: v128): v128 {
  return f32x4.mul(v128.and(i32x4.shl(v128.load16x4_s(pointer), SHIFT), mask), biasCorrection);
}

/** The f16 of index `index` at `pointer`; the scalar twin of `decodeF16x4`. */
export function decodeF16(pointer: usize, index: i32): f32 {
  const bits = ((<i32>load<i16>(pointer + index * F16_BYTES)) << SHIFT) & MASK;
  return reinterpret<f32>(bits) * BIAS_CORRECTION;
}
