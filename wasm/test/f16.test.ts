import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { f16ToF32, f32ToF16 } from '../host/f16.ts';

const NUM_BIT_PATTERNS = 0x1_0000;
const isNan = (bits: number): boolean => (bits & 0x7c00) === 0x7c00 && (bits & 0x3ff) !== 0;

describe('f16', () => {
  it('round-trips every bit pattern', () => {
    for (let bits = 0; bits < NUM_BIT_PATTERNS; bits++) {
      if (isNan(bits)) {
        expect(f16ToF32(bits)).toBeNaN();
      } else {
        expect(f32ToF16(f16ToF32(bits))).toBe(bits);
      }
    }
  });

  it('decodes known values', () => {
    expect(f16ToF32(0x3c00)).toBe(1);
    expect(f16ToF32(0xc000)).toBe(-2);
    expect(f16ToF32(0x7bff)).toBe(65504);
    expect(f16ToF32(0x0400)).toBe(2 ** -14);
    expect(f16ToF32(0x0001)).toBe(2 ** -24);
    expect(f16ToF32(0xfc00)).toBe(-Infinity);
    expect(Object.is(f16ToF32(0x8000), -0)).toBe(true);
    expect(f16ToF32(0x3555)).toBe(0.333251953125);
  });

  it('rounds to the nearest, ties to even, between every pair of neighbours', () => {
    for (let bits = 0; bits < 0x7bff; bits++) {
      const low = f16ToF32(bits);
      const high = f16ToF32(bits + 1);
      const middle = (low + high) / 2;
      const even = bits % 2 === 0 ? bits : bits + 1;
      expect(f32ToF16(middle)).toBe(even);
      expect(f32ToF16(middle - (high - low) * 2 ** -20)).toBe(bits);
      expect(f32ToF16(middle + (high - low) * 2 ** -20)).toBe(bits + 1);
    }
  });

  it('overflows to infinity at the half-way point and keeps the sign', () => {
    expect(f32ToF16(65519.99)).toBe(0x7bff);
    expect(f32ToF16(65520)).toBe(0x7c00);
    expect(f32ToF16(-1e300)).toBe(0xfc00);
    expect(f32ToF16(-1e-300)).toBe(0x8000);
    expect(isNan(f32ToF16(NaN))).toBe(true);
  });

  it('is monotonic', () => {
    const finite = fc.double({ min: -65504, max: 65504, noNaN: true });
    fc.assert(
      fc.property(finite, finite, (a, b) => {
        const [low, high] = a <= b ? [a, b] : [b, a];
        return f16ToF32(f32ToF16(low)) <= f16ToF32(f32ToF16(high));
      }),
    );
  });
});
