import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { findCut, orderKey } from '../radix-select.ts';

const floats = fc.array(fc.float({ noNaN: true }), { minLength: 1, maxLength: 200 });

function keysOf(values: readonly number[]): Uint32Array {
  return Uint32Array.from(new Uint32Array(Float32Array.from(values).buffer), orderKey);
}

describe('orderKey', () => {
  it('orders as the floats do', () => {
    fc.assert(
      fc.property(fc.float({ noNaN: true }), fc.float({ noNaN: true }), (a, b) => {
        const [keyA, keyB] = keysOf([a, b]) as unknown as [number, number];
        expect(Math.sign(keyA - keyB)).toBe(a === b ? 0 : Math.sign(a < b ? -1 : 1));
      }),
    );
  });
});

describe('findCut', () => {
  it('keeps exactly the count, ties included in order', () => {
    fc.assert(
      fc.property(floats, fc.nat(), (values, nat) => {
        const count = 1 + (nat % values.length);
        const keys = keysOf(values);
        const { key, numTies } = findCut(keys, values.length, null, count);
        const above = [...keys].filter((other) => other > key).length;
        expect(above + numTies).toBe(count);
        expect([...keys].filter((other) => other === key).length).toBeGreaterThanOrEqual(numTies);
      }),
      { numRuns: 1000 },
    );
  });

  it('reaches the mass with the fewest', () => {
    const weighted = fc.array(fc.integer({ min: 0, max: 50 }), { minLength: 1, maxLength: 100 });
    fc.assert(
      fc.property(weighted, fc.double({ min: 0.001, max: 1, noNaN: true }), (values, share) => {
        const keys = keysOf(values);
        // Whole numbers, so that sums are exact in any order. Equal values have equal weights.
        const weights = Float64Array.from(values, (value) => value + 1);
        const target = Math.max(1, Math.floor(share * weights.reduce((total, weight) => total + weight, 0)));
        const { key, numTies } = findCut(keys, values.length, weights, target);
        const massAbove = values.reduce((mass, value, i) => mass + ((keys[i] as number) > key ? value + 1 : 0), 0);
        const tieWeight = Number(weights[keys.indexOf(key)]);
        expect(massAbove + numTies * tieWeight).toBeGreaterThanOrEqual(target);
        expect(massAbove + (numTies - 1) * tieWeight).toBeLessThan(target);
      }),
      { numRuns: 1000 },
    );
  });

  it('keeps everything when rounding keeps the sum below the target', () => {
    const keys = keysOf([1, 2, 3]);
    const { key, numTies } = findCut(keys, 3, Float64Array.of(0.1, 0.2, 0.3), 0.6 + 1e-9);
    const kept = [...keys].filter((other) => other > key).length + Math.min(numTies, 0);
    expect(kept).toBe(3);
  });
});
