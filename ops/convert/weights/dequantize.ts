/**
 * Reads ggml's plain and 32-element group formats as float32. Layouts and formulas are those of `dequantize_row_*` in
 * ggml-quants.c.
 *
 * Every product here is exact in a double (an f16 scale has 11 significant bits, a quant at most 8), so the one rounding
 * is the store to float32: the results are bit for bit those of an implementation in float32 arithmetic.
 */
import { F16_VALUES } from './f16-table.ts';

/** Elements in a group of all formats in this file. */
const GROUP_ELEMENTS = 32;
const HALF_GROUP = GROUP_ELEMENTS / 2;

export function dequantizeF32(bytes: Uint8Array, out: Float32Array): void {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  for (let i = 0; i < out.length; i++) {
    out[i] = view.getFloat32(i * 4, true);
  }
}

export function dequantizeF16(bytes: Uint8Array, out: Float32Array): void {
  for (let i = 0; i < out.length; i++) {
    out[i] = f16At(bytes, i * 2);
  }
}

/** bfloat16 is the upper half of a float32. */
export function dequantizeBf16(bytes: Uint8Array, out: Float32Array): void {
  const bits = new Uint32Array(out.buffer, out.byteOffset, out.length);
  for (let i = 0; i < out.length; i++) {
    bits[i] = ((bytes[i * 2] ?? 0) | ((bytes[i * 2 + 1] ?? 0) << 8)) << 16;
  }
}

/** f16 scale, 16 bytes of nibbles (element j low, j + 16 high): `(q - 8) · scale`. */
export function dequantizeQ40(bytes: Uint8Array, out: Float32Array): void {
  for (let element = 0, at = 0; element < out.length; element += GROUP_ELEMENTS, at += 18) {
    const scale = f16At(bytes, at);
    for (let j = 0; j < HALF_GROUP; j++) {
      const pair = bytes[at + 2 + j] ?? 0;
      out[element + j] = ((pair & 15) - 8) * scale;
      out[element + j + HALF_GROUP] = ((pair >> 4) - 8) * scale;
    }
  }
}

/** f16 scale, f16 minimum, nibbles as in Q4_0: `q · scale + minimum`. */
export function dequantizeQ41(bytes: Uint8Array, out: Float32Array): void {
  for (let element = 0, at = 0; element < out.length; element += GROUP_ELEMENTS, at += 20) {
    const scale = f16At(bytes, at);
    const minimum = f16At(bytes, at + 2);
    for (let j = 0; j < HALF_GROUP; j++) {
      const pair = bytes[at + 4 + j] ?? 0;
      out[element + j] = (pair & 15) * scale + minimum;
      out[element + j + HALF_GROUP] = (pair >> 4) * scale + minimum;
    }
  }
}

/** f16 scale, 32 fifth bits (bit i belongs to element i), nibbles as in Q4_0: `(q - 16) · scale`. */
export function dequantizeQ50(bytes: Uint8Array, out: Float32Array): void {
  for (let element = 0, at = 0; element < out.length; element += GROUP_ELEMENTS, at += 22) {
    const scale = f16At(bytes, at);
    const fifthBits = u32At(bytes, at + 2);
    for (let j = 0; j < HALF_GROUP; j++) {
      const pair = bytes[at + 6 + j] ?? 0;
      const low = (pair & 15) | (((fifthBits >>> j) & 1) << 4);
      const high = (pair >> 4) | (((fifthBits >>> (j + HALF_GROUP)) & 1) << 4);
      out[element + j] = (low - 16) * scale;
      out[element + j + HALF_GROUP] = (high - 16) * scale;
    }
  }
}

/** f16 scale, f16 minimum, fifth bits and nibbles as in Q5_0: `q · scale + minimum`. */
export function dequantizeQ51(bytes: Uint8Array, out: Float32Array): void {
  for (let element = 0, at = 0; element < out.length; element += GROUP_ELEMENTS, at += 24) {
    const scale = f16At(bytes, at);
    const minimum = f16At(bytes, at + 2);
    const fifthBits = u32At(bytes, at + 4);
    for (let j = 0; j < HALF_GROUP; j++) {
      const pair = bytes[at + 8 + j] ?? 0;
      const low = (pair & 15) | (((fifthBits >>> j) & 1) << 4);
      const high = (pair >> 4) | (((fifthBits >>> (j + HALF_GROUP)) & 1) << 4);
      out[element + j] = low * scale + minimum;
      out[element + j + HALF_GROUP] = high * scale + minimum;
    }
  }
}

/** f16 scale, 32 int8: `q · scale`. */
export function dequantizeQ80(bytes: Uint8Array, out: Float32Array): void {
  for (let element = 0, at = 0; element < out.length; element += GROUP_ELEMENTS, at += 34) {
    const scale = f16At(bytes, at);
    for (let j = 0; j < GROUP_ELEMENTS; j++) {
      out[element + j] = (((bytes[at + 2 + j] ?? 0) << 24) >> 24) * scale;
    }
  }
}

export function f16At(bytes: Uint8Array, at: number): number {
  return F16_VALUES[(bytes[at] ?? 0) | ((bytes[at + 1] ?? 0) << 8)] ?? 0;
}

function u32At(bytes: Uint8Array, at: number): number {
  const low = (bytes[at] ?? 0) | ((bytes[at + 1] ?? 0) << 8);
  return low | ((bytes[at + 2] ?? 0) << 16) | ((bytes[at + 3] ?? 0) << 24);
}
