import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { nearestWithinBound, rendezvousOrder } from '../rendezvous.ts';

const candidatesArbitrary = fc.uniqueArray(
  fc.record({ id: fc.string({ minLength: 1 }), weight: fc.integer({ min: 1, max: 9 }), load: fc.nat(50) }),
  { minLength: 1, maxLength: 8, selector: ({ id }) => id },
);

describe('rendezvousOrder', () => {
  it('moves only the keys of a server that goes away', () => {
    fc.assert(
      fc.property(candidatesArbitrary, fc.string(), fc.nat(), (candidates, key, pick) => {
        const gone = candidates[pick % candidates.length];
        const left = candidates.filter((candidate) => candidate !== gone);
        const before = rendezvousOrder(candidates, key).filter((candidate) => candidate !== gone);
        expect(rendezvousOrder(left, key)).toEqual(before);
      }),
    );
  });

  it('spreads keys by weight', () => {
    const counts = [0, 0];
    const candidates = [0, 1].map((index) => ({ id: `o${index}`, weight: 1 + index * 2, index }));
    for (let key = 0; key < 8000; key++) {
      const [first] = rendezvousOrder(candidates, `key-${key}`);
      counts[first?.index ?? 0] = (counts[first?.index ?? 0] ?? 0) + 1;
    }
    expect((counts[1] ?? 0) / (counts[0] ?? 1)).toBeGreaterThan(2.7);
    expect((counts[1] ?? 0) / (counts[0] ?? 1)).toBeLessThan(3.3);
  });
});

describe('nearestWithinBound', () => {
  it('gives nothing when there is nobody', () => {
    expect(nearestWithinBound([], 'key')).toBeUndefined();
  });

  it('takes the first of the order that is not above a quarter more than its share', () => {
    fc.assert(
      fc.property(candidatesArbitrary, fc.string(), (candidates, key) => {
        const chosen = nearestWithinBound(candidates, key);
        const total = candidates.reduce((sum, { load }) => sum + load, 0);
        const totalWeight = candidates.reduce((sum, { weight }) => sum + weight, 0);
        const isAbove = ({ load, weight }: { load: number; weight: number }): boolean =>
          load + 1 > Math.ceil((1.25 * (total + 1) * weight) / totalWeight);
        const order = rendezvousOrder(candidates, key);
        expect(order.slice(0, order.indexOf(chosen as never)).every(isAbove)).toBe(true);
        expect(isAbove(chosen as never)).toBe(false);
      }),
    );
  });

  it('keeps a key where it is while the loads are even', () => {
    const idle = [0, 1, 2].map((index) => ({ id: `r${index}`, weight: 1, load: 0 }));
    const busy = idle.map((candidate) => ({ ...candidate, load: 3 }));
    for (let key = 0; key < 100; key++) {
      expect(nearestWithinBound(busy, `${key}`)?.id).toBe(nearestWithinBound(idle, `${key}`)?.id);
    }
  });
});
