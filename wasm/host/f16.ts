/** Conversion between IEEE 754 binary16 bit patterns and numbers. Both directions cover subnormals, infinities and NaN. */

const SIGN_BIT = 0x8000;
const MANTISSA_BITS = 10;
const MANTISSA_MASK = 0x3ff;
const EXPONENT_MASK = 0x1f;
const INFINITY_BITS = 0x7c00;
const QUIET_NAN_BITS = 0x7e00;
/** Exponent of the smallest normal number; subnormals share its spacing. */
const EXPONENT_MIN = -14;
/** Half-way between the largest finite number, 65504, and the next power of two: rounds to infinity from here on. */
const OVERFLOW_LIMIT = 65520;

const F64_EXPONENT_SHIFT = 20;
const F64_EXPONENT_MASK = 0x7ff;
const F64_EXPONENT_BIAS = 1023;

const scratch = new DataView(new ArrayBuffer(8));

/** The number that the 16 bits stand for; exact, since every binary16 is a binary32. */
export function f16ToF32(bits: number): number {
  const sign = bits & SIGN_BIT ? -1 : 1;
  const exponent = (bits >> MANTISSA_BITS) & EXPONENT_MASK;
  const mantissa = bits & MANTISSA_MASK;
  if (exponent === EXPONENT_MASK) {
    return mantissa === 0 ? sign * Infinity : NaN;
  }
  if (exponent === 0) {
    return sign * mantissa * 2 ** (EXPONENT_MIN - MANTISSA_BITS);
  }
  return sign * (mantissa + 2 ** MANTISSA_BITS) * 2 ** (exponent - 1 + EXPONENT_MIN - MANTISSA_BITS);
}

/**
 * The bits of the binary16 nearest to `value`, ties to even, in one rounding whatever the precision of `value`.
 * Overflow gives infinity; every NaN gives the same quiet NaN.
 */
export function f32ToF16(value: number): number {
  if (Number.isNaN(value)) {
    return QUIET_NAN_BITS;
  }
  scratch.setFloat64(0, value);
  const highWord = scratch.getUint32(0);
  const sign = highWord >>> 31 === 1 ? SIGN_BIT : 0;
  const magnitude = Math.abs(value);
  if (magnitude >= OVERFLOW_LIMIT) {
    return sign | INFINITY_BITS;
  }
  const exponent = Math.max(((highWord >>> F64_EXPONENT_SHIFT) & F64_EXPONENT_MASK) - F64_EXPONENT_BIAS, EXPONENT_MIN);
  // A power of two scales exactly, so the only rounding is to whole units in the last place. A normal number's units
  // include the implicit leading one, which adds one to the exponent field; so does a carry out of the mantissa.
  const units = roundHalfToEven(magnitude * 2 ** (MANTISSA_BITS - exponent));
  return sign | (((exponent - EXPONENT_MIN) << MANTISSA_BITS) + units);
}

function roundHalfToEven(value: number): number {
  const floor = Math.floor(value);
  const fraction = value - floor;
  if (fraction < 0.5) {
    return floor;
  }
  if (fraction > 0.5) {
    return floor + 1;
  }
  return floor % 2 === 0 ? floor : floor + 1;
}
