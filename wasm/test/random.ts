/** Seeded random numbers for tests and benchmarks: mulberry32, so that a seed in a failure message replays it. */
export class Random {
  #state: number;

  constructor(seed: number) {
    this.#state = seed >>> 0;
  }

  /** A whole number in `[0, 2^32)`. */
  next(): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let mixed = this.#state;
    mixed = Math.imul(mixed ^ (mixed >>> 15), mixed | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return (mixed ^ (mixed >>> 14)) >>> 0;
  }

  /** A number in `[0, 1)`. */
  unit(): number {
    return this.next() / 2 ** 32;
  }

  /** A whole number in `[min, max]`. */
  integer(min: number, max: number): number {
    return min + Math.floor(this.unit() * (max - min + 1));
  }

  /** A number of mean 0 and variance 1, nearly normal: a sum of uniform ones, which needs no transcendental. */
  normal(): number {
    const numTerms = 12;
    let sum = 0;
    for (let term = 0; term < numTerms; term++) {
      sum += this.unit();
    }
    return sum - numTerms / 2;
  }
}
