/**
 * Four rows of weights meet four tokens in one vector: with the tokens turned by j lanes, lane i of a dot product is row i
 * for token (i + j) % 4. Three turns instead of a broadcast for each token, and at the end the rows are put back in order.
 */

/** Inline functions are static methods here, since TypeScript's grammar has decorators on class members only. */
export class Lanes {
  /** Lane i becomes lane i + 1. */
  @inline
  static turn1(lanes: v128): v128 {
    return i8x16.shuffle(lanes, lanes, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 0, 1, 2, 3);
  }

  @inline
  static turn2(lanes: v128): v128 {
    return i8x16.shuffle(lanes, lanes, 8, 9, 10, 11, 12, 13, 14, 15, 0, 1, 2, 3, 4, 5, 6, 7);
  }

  @inline
  static turn3(lanes: v128): v128 {
    return i8x16.shuffle(lanes, lanes, 12, 13, 14, 15, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11);
  }

  /** Lanes 0 and 2 of `even`, 1 and 3 of `odd`. */
  @inline
  static everySecond(even: v128, odd: v128): v128 {
    return i8x16.shuffle(even, odd, 0, 1, 2, 3, 20, 21, 22, 23, 8, 9, 10, 11, 28, 29, 30, 31);
  }

  /** Lanes 0 and 1 of `low`, 2 and 3 of `high`. */
  @inline
  static halves(low: v128, high: v128): v128 {
    return i8x16.shuffle(low, high, 0, 1, 2, 3, 4, 5, 6, 7, 24, 25, 26, 27, 28, 29, 30, 31);
  }
}

/** Stores four rows of each token: lane i of `sum<j>` is row i of token (i + j) % 4. */
export function storeTurned(output: usize, stride: usize, sum0: v128, sum1: v128, sum2: v128, sum3: v128): void {
  const from03 = Lanes.everySecond(sum0, sum3);
  const from10 = Lanes.everySecond(sum1, sum0);
  const from21 = Lanes.everySecond(sum2, sum1);
  const from32 = Lanes.everySecond(sum3, sum2);
  v128.store(output, Lanes.halves(from03, from21));
  v128.store(output + stride, Lanes.halves(from10, from32));
  v128.store(output + 2 * stride, Lanes.halves(from21, from03));
  v128.store(output + 3 * stride, Lanes.halves(from32, from10));
}
