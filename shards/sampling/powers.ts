/**
 * e^x for x <= 0, some 50,000 times for a token. `Math.exp` takes four times as long, and may differ between machines,
 * which this, made of multiplications and additions, does not.
 *
 * After Tang (1989), "Table-driven implementation of the exponential function": x in units of ln 2 / 64 is a whole number
 * k and a rest of at most half a unit, so e^x is a power of two, one of 64 factors, and a polynomial that is right after four
 * terms. Relative error below 6e-14, and |x| * 2^-51 from rounding x and its scale.
 */

const STEPS = 64;
const STEP_BITS = 6;
const UNIT = Math.LN2 / STEPS;
/** Smallest power of two that is a normal number; below it results are 0. */
const EXPONENT_MIN = -1022;
const SCALED_MIN = EXPONENT_MIN * STEPS;
const POWERS_OF_TWO = Float64Array.from({ length: 1 - EXPONENT_MIN }, (_, exponent) => 2 ** -exponent);
/** 2^(j / 64), by square roots, which IEEE 754 rounds correctly, where `**` may differ between machines. */
const FACTORS = Float64Array.from({ length: STEPS }, (_, step) => factorOf(step));

function factorOf(step: number): number {
  let factor = 1;
  let root = 2;
  for (let bit = STEPS / 2; bit >= 1; bit /= 2) {
    root = Math.sqrt(root);
    factor *= (step & bit) === 0 ? 1 : root;
  }
  return factor;
}

/** What differences of logits are multiplied with for `power`, so that it gives e^(difference / temperature). */
export function powerScale(temperature: number): number {
  // Finite for the smallest temperature, too: 0 times it has to stay 0.
  return Math.min(1 / (UNIT * temperature), Number.MAX_VALUE);
}

/** @param scaled at most 0; a difference times `powerScale`. NaN gives NaN. */
export function power(scaled: number): number {
  if (scaled < SCALED_MIN) {
    return 0;
  }
  const whole = (scaled - 0.5) | 0;
  const r = (scaled - whole) * UNIT;
  const polynomial = 1 + r * (1 + r * (1 / 2 + r * (1 / 6 + r * (1 / 24))));
  return (POWERS_OF_TWO[-(whole >> STEP_BITS)] as number) * (FACTORS[whole & (STEPS - 1)] as number) * polynomial;
}
