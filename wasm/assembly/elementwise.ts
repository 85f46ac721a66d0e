import { exp__scalar, exp__simd128 } from './exp';
import { F32_BYTES } from './layout';

/** accumulator[i] += addend[i], f32 `[size]`; `size` a multiple of 4. For residuals and biases. */
export function f32_add__simd128(accumulator: usize, addend: usize, size: i32): void {
  for (let at: usize = 0, end: usize = size * F32_BYTES; at < end; at += sizeof<v128>()) {
    v128.store(accumulator + at, f32x4.add(v128.load(accumulator + at), v128.load(addend + at)));
  }
}

export function f32_add__scalar(accumulator: usize, addend: usize, size: i32): void {
  for (let at: usize = 0, end: usize = size * F32_BYTES; at < end; at += F32_BYTES) {
    store<f32>(accumulator + at, load<f32>(accumulator + at) + load<f32>(addend + at));
  }
}

/** gate[i] = gate[i] / (1 + e^-gate[i]) * up[i], f32 `[size]`, in place; `size` a multiple of 4. */
export function f32_swiglu__simd128(gate: usize, up: usize, size: i32): void {
  for (let at: usize = 0, end: usize = size * F32_BYTES; at < end; at += sizeof<v128>()) {
    const x = v128.load(gate + at);
    const silu = f32x4.div(x, f32x4.add(f32x4.splat(1), exp__simd128(f32x4.neg(x))));
    v128.store(gate + at, f32x4.mul(silu, v128.load(up + at)));
  }
}

export function f32_swiglu__scalar(gate: usize, up: usize, size: i32): void {
  for (let at: usize = 0, end: usize = size * F32_BYTES; at < end; at += F32_BYTES) {
    const x = load<f32>(gate + at);
    const silu = x / (<f32>1 + exp__scalar(-x));
    store<f32>(gate + at, silu * load<f32>(up + at));
  }
}
