/** The tensor types that can be converted, with their sizes and how their values are read. */
import {
  dequantizeBf16,
  dequantizeF16,
  dequantizeF32,
  dequantizeQ40,
  dequantizeQ41,
  dequantizeQ50,
  dequantizeQ51,
  dequantizeQ80,
} from './dequantize.ts';
import { dequantizeQ4K, dequantizeQ5K, dequantizeQ6K } from './dequantize-k.ts';

export type TensorTypeName =
  'F32' | 'F16' | 'BF16' | 'Q4_0' | 'Q4_1' | 'Q5_0' | 'Q5_1' | 'Q8_0' | 'Q4_K' | 'Q5_K' | 'Q6_K';

export interface TensorType {
  readonly name: TensorTypeName;
  /** Values that are encoded together; a row is a whole number of such groups. */
  readonly groupElements: number;
  readonly groupBytes: number;
  /** Fills `out` from `out.length / groupElements` groups. */
  readonly dequantize: (bytes: Uint8Array, out: Float32Array) => void;
}

/** Elements of one super-group of the K types (`QK_K` in ggml). */
const K_ELEMENTS = 256;

export const TENSOR_TYPES: Readonly<Record<TensorTypeName, TensorType>> = {
  F32: { name: 'F32', groupElements: 1, groupBytes: 4, dequantize: dequantizeF32 },
  F16: { name: 'F16', groupElements: 1, groupBytes: 2, dequantize: dequantizeF16 },
  BF16: { name: 'BF16', groupElements: 1, groupBytes: 2, dequantize: dequantizeBf16 },
  Q4_0: { name: 'Q4_0', groupElements: 32, groupBytes: 18, dequantize: dequantizeQ40 },
  Q4_1: { name: 'Q4_1', groupElements: 32, groupBytes: 20, dequantize: dequantizeQ41 },
  Q5_0: { name: 'Q5_0', groupElements: 32, groupBytes: 22, dequantize: dequantizeQ50 },
  Q5_1: { name: 'Q5_1', groupElements: 32, groupBytes: 24, dequantize: dequantizeQ51 },
  Q8_0: { name: 'Q8_0', groupElements: 32, groupBytes: 34, dequantize: dequantizeQ80 },
  Q4_K: { name: 'Q4_K', groupElements: K_ELEMENTS, groupBytes: 144, dequantize: dequantizeQ4K },
  Q5_K: { name: 'Q5_K', groupElements: K_ELEMENTS, groupBytes: 176, dequantize: dequantizeQ5K },
  Q6_K: { name: 'Q6_K', groupElements: K_ELEMENTS, groupBytes: 210, dequantize: dequantizeQ6K },
};

/** Bytes of `numElements` values, or null when they are not whole groups. */
export function encodedBytes(type: TensorType, numElements: number): number | null {
  return numElements % type.groupElements === 0 ? (numElements / type.groupElements) * type.groupBytes : null;
}
