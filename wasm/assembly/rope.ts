import { F32_BYTES } from './layout';

/**
 * Rotates every head of `[numHeads][headDim]` f32 in place, half style: element i with element i + headDim / 2.
 * `rotation` holds headDim / 2 cosines, then headDim / 2 sines, of the token's position. `headDim` a multiple of 8.
 */
export function f32_rope__simd128(heads: usize, rotation: usize, numHeads: i32, headDim: i32): void {
  const half: usize = (headDim / 2) * F32_BYTES;
  for (let head = 0; head < numHeads; head++) {
    for (let at: usize = 0; at < half; at += sizeof<v128>()) {
      const cos = v128.load(rotation + at);
      const sin = v128.load(rotation + half + at);
      const first = v128.load(heads + at);
      const second = v128.load(heads + half + at);
      v128.store(heads + at, f32x4.sub(f32x4.mul(first, cos), f32x4.mul(second, sin)));
      v128.store(heads + half + at, f32x4.add(f32x4.mul(second, cos), f32x4.mul(first, sin)));
    }
    heads += 2 * half;
  }
}

export function f32_rope__scalar(heads: usize, rotation: usize, numHeads: i32, headDim: i32): void {
  const half: usize = (headDim / 2) * F32_BYTES;
  for (let head = 0; head < numHeads; head++) {
    for (let at: usize = 0; at < half; at += F32_BYTES) {
      const cos = load<f32>(rotation + at);
      const sin = load<f32>(rotation + half + at);
      const first = load<f32>(heads + at);
      const second = load<f32>(heads + half + at);
      store<f32>(heads + at, first * cos - second * sin);
      store<f32>(heads + half + at, second * cos + first * sin);
    }
    heads += 2 * half;
  }
}
