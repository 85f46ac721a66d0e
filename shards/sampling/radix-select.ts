/**
 * Finds where to cut a set of logits so that the largest ones reach a given count (top-k) or probability mass (top-p),
 * without sorting: a radix selection over order-preserving integer keys, most significant digit first. Three passes
 * whatever the distribution, where a comparison sort of 49152 flat logits takes several milliseconds.
 */
import { assert } from '../../wasm/host/assert.ts';

const SIGN_BIT = 0x80000000;

/** Digits of a 32-bit key from the top: 2048 buckets fit the first-level cache with their weights. */
const DIGITS = [
  { shift: 21, bits: 11 },
  { shift: 10, bits: 11 },
  { shift: 0, bits: 10 },
] as const;
const NUM_BUCKETS = 2 ** 11;

/**
 * Maps the bits of a float32 to an unsigned integer of the same order (Herf, "Radix Tricks", 2001). Minus zero gets the
 * key of zero, since the two compare equal.
 */
export function orderKey(bits: number): number {
  if (bits === SIGN_BIT) {
    return SIGN_BIT;
  }
  return (bits & SIGN_BIT) === 0 ? (bits | SIGN_BIT) >>> 0 : ~bits >>> 0;
}

/** Keep every candidate whose key is above `key`, and the first `numTies` of those that equal it. */
export interface Cut {
  readonly key: number;
  readonly numTies: number;
}

const histogram = new Float64Array(NUM_BUCKETS);

/**
 * The smallest prefix, in descending key order and then candidate order, whose weights sum to at least `target`.
 * @param keys `[numCandidates]`, from `orderKey`.
 * @param weights `[numCandidates]`, equal for equal keys; null counts each candidate as 1.
 * @param target above 0. When rounding keeps the sum below it, everything is kept.
 */
export function findCut(keys: Uint32Array, numCandidates: number, weights: Float64Array | null, target: number): Cut {
  assert(numCandidates > 0 && target > 0, 'findCut needs candidates and a positive target');
  let weightAbove = 0;
  let prefix = 0;
  for (const [level, { shift, bits }] of DIGITS.entries()) {
    fillHistogram(keys, numCandidates, weights, level === 0 ? null : prefix, shift, bits);
    let digit = 2 ** bits - 1;
    let lowestDigit = -1;
    for (; digit >= 0; digit--) {
      const weight = histogram[digit] as number;
      if (weight === 0) {
        continue;
      }
      lowestDigit = digit;
      if (weightAbove + weight >= target) {
        break;
      }
      weightAbove += weight;
    }
    if (digit < 0) {
      if (level === 0 || lowestDigit < 0) {
        return { key: 0, numTies: numCandidates };
      }
      // Rounding: the digits together weigh a hair less than their bucket did. The cut is in the last one.
      digit = lowestDigit;
      weightAbove -= histogram[lowestDigit] as number;
    }
    prefix = prefix * 2 ** bits + digit;
  }
  return { key: prefix, numTies: countTies(keys, numCandidates, weights, prefix, target - weightAbove) };
}

/** Weight of the candidates below `prefix` (all of them when it is null) by their next digit. */
function fillHistogram(
  keys: Uint32Array,
  numCandidates: number,
  weights: Float64Array | null,
  prefix: number | null,
  shift: number,
  bits: number,
): void {
  const mask = 2 ** bits - 1;
  const prefixShift = shift + bits;
  histogram.fill(0);
  for (let i = 0; i < numCandidates; i++) {
    const key = keys[i] as number;
    if (prefix === null || key >>> prefixShift === prefix) {
      const digit = (key >>> shift) & mask;
      histogram[digit] = (histogram[digit] as number) + (weights === null ? 1 : (weights[i] as number));
    }
  }
}

function countTies(
  keys: Uint32Array,
  numCandidates: number,
  weights: Float64Array | null,
  key: number,
  target: number,
): number {
  let numTies = 0;
  let sum = 0;
  for (let i = 0; i < numCandidates; i++) {
    if (keys[i] === key) {
      numTies++;
      sum += weights === null ? 1 : (weights[i] as number);
      if (sum >= target) {
        break;
      }
    }
  }
  return numTies;
}
