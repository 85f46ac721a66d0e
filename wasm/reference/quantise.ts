/** What quantisation does to values, in f64: the weights' formats read back, and the rounding of activations and KV. */
import { f16ToF32 } from '../host/f16.ts';
import { GROUP_SIZE } from '../host/model-config.ts';
import type { TensorSpec } from '../host/model-config.ts';
import { unpackQb4w, unpackQb8w } from '../host/pack.ts';

const QUANT8_MAX = 127;

/** The values of a packed tensor, row by row. */
export function dequantise(spec: TensorSpec, packed: Uint8Array): Float64Array<ArrayBuffer> {
  const [rows, cols] = [spec.shape[0] ?? 0, spec.shape[1] ?? 0];
  if (spec.format === 'f32') {
    const view = new DataView(packed.buffer, packed.byteOffset, packed.byteLength);
    return Float64Array.from({ length: rows }, (_, index) => view.getFloat32(index * 4, true));
  }
  const f16At = (bits: Uint16Array, index: number): number => f16ToF32(bits[Math.floor(index / GROUP_SIZE)] ?? 0);
  if (spec.format === 'qb8w') {
    const { quants, scales } = unpackQb8w(rows, cols, packed);
    return Float64Array.from(quants, (quant, index) => quant * f16At(scales, index));
  }
  const { quants, scales, minima } = unpackQb4w(rows, cols, packed);
  return Float64Array.from(quants, (quant, index) => quant * f16At(scales, index) + f16At(minima, index));
}

/** Rounds to int8 with one scale for each `groupSize` values, and back. */
export function roundToInt8(values: Float64Array, groupSize: number): Float64Array<ArrayBuffer> {
  const rounded = new Float64Array(values.length);
  for (let start = 0; start < values.length; start += groupSize) {
    const group = values.subarray(start, start + groupSize);
    const scale = group.reduce((largest, value) => Math.max(largest, Math.abs(value)), 0) / QUANT8_MAX;
    if (scale > 0) {
      rounded.set(
        group.map((value) => Math.round(value / scale) * scale),
        start,
      );
    }
  }
  return rounded;
}
