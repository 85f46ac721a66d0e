/**
 * Random numbers that are a function of `(seed, position)` alone, so a stream that was cut and resumed, or whose
 * sequence was preempted, draws the same tokens again.
 *
 * Philox4x32-10 of Salmon, Moraes, Dror and Shaw, "Parallel Random Numbers: As Easy as 1, 2, 3" (SC 2011); the tests
 * hold the known answers that its authors publish with Random123.
 */

const MULTIPLIER_0 = 0xd2511f53;
const MULTIPLIER_1 = 0xcd9e8d57;
/** Weyl constants: the golden ratio and the square root of 3 minus 1, as 0.32 fixed point. */
const WEYL_0 = 0x9e3779b9;
const WEYL_1 = 0xbb67ae85;
const NUM_ROUNDS = 10;

export type Words4 = readonly [number, number, number, number];

/** High 32 bits of the 64-bit product, by 16-bit halves: every intermediate stays below 2^53. */
function multiplyHigh(a: number, b: number): number {
  const aLow = a & 0xffff;
  const aHigh = a >>> 16;
  const bLow = b & 0xffff;
  const bHigh = b >>> 16;
  const middle = aHigh * bLow + ((aLow * bLow) >>> 16);
  const middleLow = (middle % 0x10000) + aLow * bHigh;
  return (aHigh * bHigh + Math.floor(middle / 0x10000) + Math.floor(middleLow / 0x10000)) >>> 0;
}

/** One evaluation of the generator: 128 bits of counter and 64 bits of key to 128 random bits, as unsigned words. */
export function philox4x32(counter: Words4, key: readonly [number, number]): Words4 {
  let [c0, c1, c2, c3] = counter;
  let [k0, k1] = key;
  for (let round = 0; round < NUM_ROUNDS; round++) {
    const high0 = multiplyHigh(MULTIPLIER_0, c0);
    const low0 = Math.imul(MULTIPLIER_0, c0) >>> 0;
    const high1 = multiplyHigh(MULTIPLIER_1, c2);
    const low1 = Math.imul(MULTIPLIER_1, c2) >>> 0;
    c0 = (high1 ^ c1 ^ k0) >>> 0;
    c1 = low1;
    c2 = (high0 ^ c3 ^ k1) >>> 0;
    c3 = low0;
    k0 = (k0 + WEYL_0) >>> 0;
    k1 = (k1 + WEYL_1) >>> 0;
  }
  return [c0, c1, c2, c3];
}

const TWO_POW_32 = 2 ** 32;
/** 53 bits fill the mantissa of a double: 32 from one word, 21 from the next. */
const MANTISSA_LOW_BITS = 21;

/**
 * The random number of one position.
 * @param seed any safe integer; negative ones are distinct from their absolute value.
 * @param position of the token in its sequence, counted from the first prompt token.
 * @returns uniform in `[0, 1)`, a multiple of 2^-53.
 */
export function uniformAt(seed: number, position: number): number {
  const seedLow = seed >>> 0;
  const seedHigh = Math.floor(seed / TWO_POW_32) >>> 0;
  const [word0, word1] = philox4x32([position >>> 0, 0, 0, 0], [seedLow, seedHigh]);
  return (word0 * 2 ** MANTISSA_LOW_BITS + (word1 >>> (32 - MANTISSA_LOW_BITS))) / 2 ** 53;
}
