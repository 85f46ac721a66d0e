/**
 * Lossless import of ggml's 32-element formats, whose groups are this project's own: quants, scales and minima are moved,
 * not recomputed.
 */
import { f32ToF16 } from '../../../wasm/host/f16.ts';
import { GROUP_SIZE } from '../../../wasm/host/model-config.ts';
import { f16At } from './dequantize.ts';
import type { Qb4wOutput, Qb8wOutput } from './quantize-ref.ts';

const HALF_GROUP = GROUP_SIZE / 2;
const F16_EXPONENT_BITS = 0x7c00;
/** Q4_0 stores quants with this offset: `w = (q - 8) · scale = q · scale + (-8 · scale)`. */
const Q4_0_ZERO_POINT = 8;

/** Imports whole Q4_0 groups. @returns index of the first group whose scale or minimum is not a finite f16, or -1. */
export function importQ40(bytes: Uint8Array, out: Qb4wOutput): number {
  const numGroups = out.scales.length;
  for (let group = 0, at = 0; group < numGroups; group++, at += 18) {
    const scale = u16At(bytes, at);
    // Multiplying by a power of two only moves the exponent, so the product is exact unless it overflows.
    const minimum = f32ToF16(-Q4_0_ZERO_POINT * f16At(bytes, at));
    if (!isFiniteF16(scale) || !isFiniteF16(minimum)) {
      return group;
    }
    out.scales[group] = scale;
    out.minima[group] = minimum;
    unpackNibbles(bytes, at + 2, out.quants, group * GROUP_SIZE);
  }
  return -1;
}

/** Imports whole Q4_1 groups. @returns index of the first group whose scale or minimum is not a finite f16, or -1. */
export function importQ41(bytes: Uint8Array, out: Qb4wOutput): number {
  const numGroups = out.scales.length;
  for (let group = 0, at = 0; group < numGroups; group++, at += 20) {
    const scale = u16At(bytes, at);
    const minimum = u16At(bytes, at + 2);
    if (!isFiniteF16(scale) || !isFiniteF16(minimum)) {
      return group;
    }
    out.scales[group] = scale;
    out.minima[group] = minimum;
    unpackNibbles(bytes, at + 4, out.quants, group * GROUP_SIZE);
  }
  return -1;
}

/** Imports whole Q8_0 groups. @returns index of the first group whose scale is not a finite f16, or -1. */
export function importQ80(bytes: Uint8Array, out: Qb8wOutput): number {
  const numGroups = out.scales.length;
  for (let group = 0, at = 0; group < numGroups; group++, at += 34) {
    const scale = u16At(bytes, at);
    if (!isFiniteF16(scale)) {
      return group;
    }
    out.scales[group] = scale;
    for (let j = 0; j < GROUP_SIZE; j++) {
      out.quants[group * GROUP_SIZE + j] = bytes[at + 2 + j] ?? 0;
    }
  }
  return -1;
}

function unpackNibbles(bytes: Uint8Array, at: number, quants: Uint8Array, start: number): void {
  for (let j = 0; j < HALF_GROUP; j++) {
    const pair = bytes[at + j] ?? 0;
    quants[start + j] = pair & 15;
    quants[start + j + HALF_GROUP] = pair >> 4;
  }
}

function u16At(bytes: Uint8Array, at: number): number {
  return (bytes[at] ?? 0) | ((bytes[at + 1] ?? 0) << 8);
}

function isFiniteF16(bits: number): boolean {
  return (bits & F16_EXPONENT_BITS) !== F16_EXPONENT_BITS;
}
