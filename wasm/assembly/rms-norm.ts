import { sumLanes } from './lanes';
import { F32_BYTES } from './layout';

/** output[i] = input[i] / sqrt(mean of squares + eps) * weight[i], f32 `[size]`; `size` a multiple of 4. */
export function f32_rms_norm__simd128(output: usize, input: usize, weight: usize, size: i32, eps: f32): void {
  const bytes: usize = size * F32_BYTES;
  let squares = f32x4.splat(0);
  for (let at: usize = 0; at < bytes; at += sizeof<v128>()) {
    const values = v128.load(input + at);
    squares = f32x4.add(squares, f32x4.mul(values, values));
  }
  const factor = f32x4.splat(rmsFactor(sumLanes(squares), size, eps));
  for (let at: usize = 0; at < bytes; at += sizeof<v128>()) {
    v128.store(output + at, f32x4.mul(f32x4.mul(v128.load(input + at), factor), v128.load(weight + at)));
  }
}

export function f32_rms_norm__scalar(output: usize, input: usize, weight: usize, size: i32, eps: f32): void {
  let squares0: f32 = 0;
  let squares1: f32 = 0;
  let squares2: f32 = 0;
  let squares3: f32 = 0;
  for (let at = input, end: usize = input + size * F32_BYTES; at < end; at += sizeof<v128>()) {
    squares0 += load<f32>(at) * load<f32>(at);
    squares1 += load<f32>(at, 4) * load<f32>(at, 4);
    squares2 += load<f32>(at, 8) * load<f32>(at, 8);
    squares3 += load<f32>(at, 12) * load<f32>(at, 12);
  }
  const factor = rmsFactor(squares0 + squares1 + (squares2 + squares3), size, eps);
  for (let at: usize = 0, end: usize = size * F32_BYTES; at < end; at += F32_BYTES) {
    store<f32>(output + at, load<f32>(input + at) * factor * load<f32>(weight + at));
  }
}

function rmsFactor(sumOfSquares: f32, size: i32, eps: f32): f32 {
  return <f32>1 / sqrt<f32>(sumOfSquares / <f32>size + eps);
}
