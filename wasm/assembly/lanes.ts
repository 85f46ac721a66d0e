/** Reductions over the four lanes of a vector, in one order for every kernel: (0 + 1) + (2 + 3). */

export function sumLanes(values: v128): f32 {
  return (
    f32x4.extract_lane(values, 0) +
    f32x4.extract_lane(values, 1) +
    (f32x4.extract_lane(values, 2) + f32x4.extract_lane(values, 3))
  );
}

export function sumLanesI32(values: v128): i32 {
  return (
    i32x4.extract_lane(values, 0) +
    i32x4.extract_lane(values, 1) +
    (i32x4.extract_lane(values, 2) + i32x4.extract_lane(values, 3))
  );
}

/** The largest lane, in every lane. For non-negative f32, too, whose bits are in the order of their values, NaN last. */
export function maxLanesI32(values: v128): v128 {
  const pairs = i32x4.max_s(
    values,
    i8x16.shuffle(values, values, 8, 9, 10, 11, 12, 13, 14, 15, 0, 1, 2, 3, 4, 5, 6, 7),
  );
  return i32x4.max_s(pairs, i8x16.shuffle(pairs, pairs, 4, 5, 6, 7, 0, 1, 2, 3, 12, 13, 14, 15, 8, 9, 10, 11));
}

/** The largest lane, in every lane; what NaN gives is not defined. */
export function maxLanesF32(values: v128): v128 {
  const pairs = f32x4.pmax(values, i8x16.shuffle(values, values, 8, 9, 10, 11, 12, 13, 14, 15, 0, 1, 2, 3, 4, 5, 6, 7));
  return f32x4.pmax(pairs, i8x16.shuffle(pairs, pairs, 4, 5, 6, 7, 0, 1, 2, 3, 12, 13, 14, 15, 8, 9, 10, 11));
}
