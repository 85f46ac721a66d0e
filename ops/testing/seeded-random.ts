/**
 * Seeded randomness for test data. The same seed gives the same numbers on every machine: only integer operations,
 * additions and multiplications, whose results IEEE 754 fixes, are used.
 */
export interface SeededRandom {
  /** Uniform in `[0, 1)`. */
  uniform(): number;
  /** Bell-shaped with mean 0 and standard deviation 1, within ±4.2 (a sum of uniforms: no outliers, no `Math.log`). */
  normal(): number;
}

/** Uniform numbers summed for one normal one; six are close enough to a bell for weights. */
const NUM_UNIFORMS_PER_NORMAL = 6;

/** Mulberry32 (Tommy Ettinger, public domain): 32 bits of state, passes gjrand's tests. */
export function seededRandom(seed: number): SeededRandom {
  let state = seed >>> 0;
  const uniform = (): number => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
  const normal = (): number => {
    let sum = 0;
    for (let i = 0; i < NUM_UNIFORMS_PER_NORMAL; i++) {
      sum += uniform();
    }
    // The variance of one uniform number is 1/12.
    return (sum - NUM_UNIFORMS_PER_NORMAL / 2) * Math.sqrt(12 / NUM_UNIFORMS_PER_NORMAL);
  };
  return { uniform, normal };
}
