import { Exp, EXP_BYTES, exp__scalar } from './exp';
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

/** Where the powers of 16 gates lie for a moment. */
const powers = memory.data(64);

/** gate[i] = gate[i] / (1 + e^-gate[i]) * up[i], f32 `[size]`, in place; `size` a multiple of 16. */
export function f32_swiglu__simd128(gate: usize, up: usize, size: i32): void {
  const one = f32x4.splat(1);
  for (let end: usize = gate + size * F32_BYTES; gate < end;) {
    Exp.store__simd128(
      powers,
      f32x4.neg(v128.load(gate)),
      f32x4.neg(v128.load(gate, 16)),
      f32x4.neg(v128.load(gate, 32)),
      f32x4.neg(v128.load(gate, 48)),
    );
    for (let at: usize = 0; at < EXP_BYTES; at += sizeof<v128>()) {
      const silu = f32x4.div(v128.load(gate), f32x4.add(one, v128.load(powers + at)));
      v128.store(gate, f32x4.mul(silu, v128.load(up)));
      gate += sizeof<v128>();
      up += sizeof<v128>();
    }
  }
}

export function f32_swiglu__scalar(gate: usize, up: usize, size: i32): void {
  for (let at: usize = 0, end: usize = size * F32_BYTES; at < end; at += F32_BYTES) {
    const x = load<f32>(gate + at);
    const silu = x / (<f32>1 + exp__scalar(-x));
    store<f32>(gate + at, silu * load<f32>(up + at));
  }
}
