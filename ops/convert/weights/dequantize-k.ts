/**
 * Reads ggml's K formats as float32: super-groups of 256 elements, whose groups' scales are quantised themselves. Layouts
 * and formulas are those of `dequantize_row_q{4,5,6}_K` in ggml-quants.c; see `dequantize.ts` for why doubles give the
 * same bits as float32 arithmetic.
 */
import { f16At } from './dequantize.ts';

const SUPER_GROUP = 256;
/** Q4_K and Q5_K: elements that share a scale and a minimum. */
const GROUP_ELEMENTS = 32;
/** Q4_K and Q5_K: bytes of the eight packed 6-bit scales and minima. */
const PACKED_SCALES_BYTES = 12;

/** 6-bit scale of group `g` (0..7); `get_scale_min_k4` in ggml-quants.c. */
function scaleOf(bytes: Uint8Array, at: number, g: number): number {
  return g < 4 ? (bytes[at + g] ?? 0) & 63 : ((bytes[at + g + 4] ?? 0) & 15) | (((bytes[at + g - 4] ?? 0) >> 6) << 4);
}

/** 6-bit minimum of group `g` (0..7). */
function minimumOf(bytes: Uint8Array, at: number, g: number): number {
  return g < 4 ? (bytes[at + g + 4] ?? 0) & 63 : ((bytes[at + g + 4] ?? 0) >> 4) | (((bytes[at + g] ?? 0) >> 6) << 4);
}

/**
 * f16 scale of scales, f16 scale of minima, 12 bytes of scales and minima, 128 bytes of nibbles. Each 32 bytes of nibbles
 * hold two groups: the even one in the low halves, the odd one in the high halves.
 */
export function dequantizeQ4K(bytes: Uint8Array, out: Float32Array): void {
  for (let element = 0, at = 0; element < out.length; element += SUPER_GROUP, at += 144) {
    const nibblesAt = at + 4 + PACKED_SCALES_BYTES;
    for (let g = 0; g < SUPER_GROUP / GROUP_ELEMENTS; g++) {
      const scale = f16At(bytes, at) * scaleOf(bytes, at + 4, g);
      const minimum = f16At(bytes, at + 2) * minimumOf(bytes, at + 4, g);
      const shift = (g & 1) * 4;
      for (let j = 0; j < GROUP_ELEMENTS; j++) {
        const quant = ((bytes[nibblesAt + (g >> 1) * GROUP_ELEMENTS + j] ?? 0) >> shift) & 15;
        out[element + g * GROUP_ELEMENTS + j] = quant * scale - minimum;
      }
    }
  }
}

/** As Q4_K, with 32 bytes of fifth bits before the nibbles: bit `g` of byte `j` belongs to element `j` of group `g`. */
export function dequantizeQ5K(bytes: Uint8Array, out: Float32Array): void {
  for (let element = 0, at = 0; element < out.length; element += SUPER_GROUP, at += 176) {
    const fifthBitsAt = at + 4 + PACKED_SCALES_BYTES;
    const nibblesAt = fifthBitsAt + GROUP_ELEMENTS;
    for (let g = 0; g < SUPER_GROUP / GROUP_ELEMENTS; g++) {
      const scale = f16At(bytes, at) * scaleOf(bytes, at + 4, g);
      const minimum = f16At(bytes, at + 2) * minimumOf(bytes, at + 4, g);
      const shift = (g & 1) * 4;
      for (let j = 0; j < GROUP_ELEMENTS; j++) {
        const nibble = ((bytes[nibblesAt + (g >> 1) * GROUP_ELEMENTS + j] ?? 0) >> shift) & 15;
        const fifthBit = ((bytes[fifthBitsAt + j] ?? 0) >> g) & 1;
        out[element + g * GROUP_ELEMENTS + j] = (nibble | (fifthBit << 4)) * scale - minimum;
      }
    }
  }
}

/**
 * 128 bytes of low nibbles, 64 bytes of upper bit pairs, 16 int8 scales, f16 scale of scales: `(q - 32) · d · scale`.
 * Each half of 128 elements is four runs of 32: the nibbles of runs 0 and 2 (low, high) share bytes, as do 1 and 3; the
 * upper bits of all four share bytes. A scale covers 16 elements.
 */
export function dequantizeQ6K(bytes: Uint8Array, out: Float32Array): void {
  for (let element = 0, at = 0; element < out.length; element += SUPER_GROUP, at += 210) {
    const superScale = f16At(bytes, at + 208);
    for (let run = 0; run < 8; run++) {
      const half = run >> 2;
      const runInHalf = run & 3;
      const nibblesAt = at + half * 64 + (runInHalf & 1) * 32;
      const upperBitsAt = at + 128 + half * 32;
      for (let j = 0; j < 32; j++) {
        const nibble = ((bytes[nibblesAt + j] ?? 0) >> ((runInHalf >> 1) * 4)) & 15;
        const upperBits = ((bytes[upperBitsAt + j] ?? 0) >> (runInHalf * 2)) & 3;
        const scale = ((bytes[at + 192 + run * 2 + (j >> 4)] ?? 0) << 24) >> 24;
        out[element + run * 32 + j] = ((nibble | (upperBits << 4)) - 32) * (superScale * scale);
      }
    }
  }
}
