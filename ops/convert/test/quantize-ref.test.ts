import { createHash } from 'node:crypto';
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { f16ToF32, f32ToF16 } from '../../../wasm/host/f16.ts';
import { seededRandom } from '../../testing/seeded-random.ts';
import { quantizeQb4w, quantizeQb8w } from '../weights/quantize-ref.ts';

function qb4w(weights: Float32Array) {
  const numGroups = weights.length / 32;
  const out = {
    quants: new Uint8Array(weights.length),
    scales: new Uint16Array(numGroups),
    minima: new Uint16Array(numGroups),
  };
  const bad = quantizeQb4w(weights, out);
  const decoded = Float32Array.from(out.quants, (quant, i) => {
    const group = Math.floor(i / 32);
    return quant * f16ToF32(out.scales[group] ?? 0) + f16ToF32(out.minima[group] ?? 0);
  });
  return { ...out, bad, decoded };
}

function qb8w(weights: Float32Array) {
  const out = { quants: new Int8Array(weights.length), scales: new Uint16Array(weights.length / 32) };
  const bad = quantizeQb8w(weights, out);
  return { ...out, bad };
}

function squaredError(a: Float32Array, b: Float32Array): number {
  return a.reduce((sum, value, i) => sum + (value - (b[i] ?? 0)) ** 2, 0);
}

/** Q4_1 as ggml makes it: minimum and maximum of the group become quants 0 and 15. */
function rangeQuantised(weights: Float32Array): Float32Array {
  const minimum = Math.min(...weights);
  const scaleBits = f32ToF16((Math.max(...weights) - minimum) / 15);
  const scale = f16ToF32(scaleBits);
  const roundedMinimum = f16ToF32(f32ToF16(minimum));
  return weights.map((weight) => {
    const quant = scale === 0 ? 0 : Math.min(15, Math.max(0, Math.round((weight - minimum) / scale)));
    return quant * scale + roundedMinimum;
  });
}

/**
 * What rounding scale and minimum to f16 (11 bits) can add to the root of the squared error of a group: half a unit in the last
 * place of the minimum, and of the scale 15 times. Chance decides which of two quantisers it hits.
 */
function roundingError(weights: Float32Array): number {
  const minimum = Math.min(...weights);
  const range = Math.max(...weights) - minimum;
  return (Math.sqrt(weights.length) * (range + Math.abs(minimum))) / 2 ** 11;
}

function normals(count: number, seed: number): Float32Array {
  const random = seededRandom(seed);
  return new Float32Array(count).map(() => random.normal());
}

const group = fc.float32Array({ minLength: 32, maxLength: 32, noNaN: true, min: -100, max: 100 });

describe('quantizeQb4w', () => {
  it('is no worse than the quantiser that only looks at the range', () => {
    fc.assert(
      fc.property(group, (weights) => {
        const error = Math.sqrt(squaredError(qb4w(weights).decoded, weights));
        const reference = Math.sqrt(squaredError(rangeQuantised(weights), weights));
        expect(error).toBeLessThanOrEqual(reference * 1.02 + roundingError(weights));
      }),
    );
  });

  it('lowers the squared error of bell-shaped weights by at least a tenth', () => {
    const weights = normals(32 * 500, 3);
    let reference = 0;
    for (let start = 0; start < weights.length; start += 32) {
      const part = weights.subarray(start, start + 32);
      reference += squaredError(rangeQuantised(part), part);
    }
    expect(squaredError(qb4w(weights).decoded, weights)).toBeLessThan(reference * 0.9);
  });

  it('finds a group that the format can hold exactly', () => {
    const quantAt = (i: number): number => (i * 7) % 16;
    const weights = new Float32Array(32).map((_, i) => quantAt(i) * 0.25 - 1.5);
    expect([...qb4w(weights).decoded]).toEqual([...weights]);
  });

  it.each([
    ['zeros', 0],
    ['a constant', 0.75],
    ['a negative constant', -3],
  ])('holds %s exactly', (_name, value) => {
    expect([...qb4w(new Float32Array(32).fill(value)).decoded]).toEqual(Array.from({ length: 32 }, () => value));
  });

  it.each([NaN, Infinity, -Infinity, 65536])('names the first weight that f16 cannot hold: %d', (value) => {
    const weights = normals(64, 1);
    weights[40] = value;
    expect(qb4w(weights).bad).toBe(40);
    expect(qb8w(weights).bad).toBe(40);
  });

  it('accepts the largest f16', () => {
    const weights = normals(32, 1);
    weights[5] = 65504;
    expect(qb4w(weights).bad).toBe(-1);
    expect(qb8w(weights).bad).toBe(-1);
  });

  it('is frozen: these bytes change only together with CONVERTER_VERSION', () => {
    const { quants, scales, minima } = qb4w(normals(32 * 64, 11));
    const eight = qb8w(normals(32 * 64, 11));
    const hash = createHash('sha256').update(quants).update(new Uint8Array(scales.buffer));
    hash.update(new Uint8Array(minima.buffer)).update(eight.quants).update(new Uint8Array(eight.scales.buffer));
    expect(hash.digest('hex').slice(0, 16)).toBe('aa008bf1353f8110');
  });
});

describe('quantizeQb8w', () => {
  it('is within half a step of every weight, the rounding of the scale included', () => {
    fc.assert(
      fc.property(group, (weights) => {
        const { quants, scales } = qb8w(weights);
        const scale = f16ToF32(scales[0] ?? 0);
        const largest = weights.reduce((best, weight) => Math.max(best, Math.abs(weight)), 0);
        // An f16 has 11 significant bits; below its smallest normal number it is off by up to 2 ** -25.
        const slack = 127 * (largest * 2 ** -18 + 2 ** -25);
        weights.forEach((weight, i) => {
          expect(Math.abs((quants[i] ?? 0) * scale - weight)).toBeLessThanOrEqual(scale / 2 + slack);
        });
      }),
    );
  });
});
