/**
 * Encodes weights in ggml's tensor types for test files. The group formats follow ggml's reference quantisers
 * (`quantize_row_*_ref` in ggml-quants.c); what matters for a test is only that the bytes are a valid encoding.
 */
import { f16ToF32, f32ToF16 } from '../../wasm/host/f16.ts';

export type EncodableType = 'F32' | 'F16' | 'BF16' | 'Q4_0' | 'Q4_1' | 'Q8_0';

/** Elements in one group of Q4_0, Q4_1 and Q8_0. */
const GROUP_ELEMENTS = 32;

const ENCODERS: Readonly<Record<EncodableType, (values: Float32Array) => Uint8Array>> = {
  F32: (values) => new Uint8Array(values.slice().buffer),
  F16: (values) => new Uint8Array(Uint16Array.from(values, f32ToF16).buffer),
  BF16: (values) => new Uint8Array(Uint16Array.from(values, f32ToBf16).buffer),
  Q4_0: (values) => encodeGroups(values, 18, encodeQ40Group),
  Q4_1: (values) => encodeGroups(values, 20, encodeQ41Group),
  Q8_0: (values) => encodeGroups(values, 34, encodeQ80Group),
};

/** @param values row-major; for a group format the number of columns must be a multiple of 32. */
export function encodeGgml(type: EncodableType, values: Float32Array): Uint8Array {
  return ENCODERS[type](values);
}

/** The upper half of a float32, rounded to nearest even. Finite values only. */
export function f32ToBf16(value: number): number {
  const bits = new Uint32Array(Float32Array.of(value).buffer)[0] ?? 0;
  return (bits + 0x7fff + ((bits >>> 16) & 1)) >>> 16;
}

function encodeGroups(
  values: Float32Array,
  groupBytes: number,
  encode: (group: Float32Array, out: DataView) => void,
): Uint8Array {
  if (values.length % GROUP_ELEMENTS !== 0) {
    throw new Error(`${values.length} values are not whole groups of ${GROUP_ELEMENTS}`);
  }
  const numGroups = values.length / GROUP_ELEMENTS;
  const encoded = new Uint8Array(numGroups * groupBytes);
  for (let g = 0; g < numGroups; g++) {
    const group = values.subarray(g * GROUP_ELEMENTS, (g + 1) * GROUP_ELEMENTS);
    encode(group, new DataView(encoded.buffer, g * groupBytes, groupBytes));
  }
  return encoded;
}

/** Two 4-bit numbers a byte: element j in the low half, element j + 16 in the high half. */
function writeNibbles(out: DataView, offset: number, quantOf: (index: number) => number): void {
  for (let j = 0; j < GROUP_ELEMENTS / 2; j++) {
    out.setUint8(offset + j, quantOf(j) | (quantOf(j + GROUP_ELEMENTS / 2) << 4));
  }
}

function encodeQ40Group(group: Float32Array, out: DataView): void {
  const extreme = group.reduce((best, value) => (Math.abs(value) > Math.abs(best) ? value : best), 0);
  const scaleBits = f32ToF16(extreme / -8);
  const scale = f16ToF32(scaleBits);
  out.setUint16(0, scaleBits, true);
  writeNibbles(out, 2, (i) => (scale === 0 ? 8 : clampRound((group[i] ?? 0) / scale + 8, 0, 15)));
}

function encodeQ41Group(group: Float32Array, out: DataView): void {
  const minimum = Math.min(...group);
  const scaleBits = f32ToF16((Math.max(...group) - minimum) / 15);
  const scale = f16ToF32(scaleBits);
  out.setUint16(0, scaleBits, true);
  out.setUint16(2, f32ToF16(minimum), true);
  writeNibbles(out, 4, (i) => (scale === 0 ? 0 : clampRound(((group[i] ?? 0) - minimum) / scale, 0, 15)));
}

function encodeQ80Group(group: Float32Array, out: DataView): void {
  const largest = group.reduce((best, value) => Math.max(best, Math.abs(value)), 0);
  const scaleBits = f32ToF16(largest / 127);
  const scale = f16ToF32(scaleBits);
  out.setUint16(0, scaleBits, true);
  group.forEach((value, i) => out.setInt8(2 + i, scale === 0 ? 0 : clampRound(value / scale, -127, 127)));
}

function clampRound(value: number, min: number, max: number): number {
  return Math.min(max, Math.max(min, Math.round(value)));
}
