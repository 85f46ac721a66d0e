/**
 * Reads `bytes` (a multiple of 64) from `address` and returns a digest: the fastest that this runtime can stream memory
 * through vector registers, beside which benchmarks set the kernels' rates.
 */
export function memory_read__simd128(address: usize, bytes: i32): i32 {
  let digest0 = i32x4.splat(0);
  let digest1 = i32x4.splat(0);
  let digest2 = i32x4.splat(0);
  let digest3 = i32x4.splat(0);
  for (let at = address, end: usize = address + bytes; at < end; at += 64) {
    digest0 = v128.xor(digest0, v128.load(at));
    digest1 = v128.xor(digest1, v128.load(at, 16));
    digest2 = v128.xor(digest2, v128.load(at, 32));
    digest3 = v128.xor(digest3, v128.load(at, 48));
  }
  const digest = v128.xor(v128.xor(digest0, digest1), v128.xor(digest2, digest3));
  return i32x4.extract_lane(digest, 0) ^ i32x4.extract_lane(digest, 3);
}
