import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Candidate } from '../../shards/client/rendezvous.ts';
import { chooseOrigin } from './choose-origin.ts';

const candidatesArbitrary = fc.uniqueArray(
  fc.record({ id: fc.string({ minLength: 1 }), weight: fc.integer({ min: 1, max: 9 }), load: fc.nat(50) }),
  { minLength: 1, maxLength: 8, selector: ({ id }) => id },
);

/** Deterministic numbers in [0, 1). */
function randomFrom(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
}

/** Requests that never end, each placed by the loads that the ones before it left. */
function place(weights: readonly number[], numRequests: number, keyOf: (index: number) => string | null): number[] {
  const origins = weights.map((weight, index) => ({ id: `origin-${index}`, weight, load: 0 }));
  const random = randomFrom(7);
  for (let index = 0; index < numRequests; index++) {
    const chosen = chooseOrigin(origins, keyOf(index), random);
    if (chosen !== undefined) {
      chosen.load++;
    }
  }
  return origins.map(({ load }) => load);
}

describe('two choices', () => {
  it('gives no origin a request when there is none', () => {
    expect(chooseOrigin([], null, () => 0)).toBeUndefined();
    expect(chooseOrigin([], 'key', () => 0)).toBeUndefined();
  });

  it('never takes the most loaded of several for its weight', () => {
    fc.assert(
      fc.property(candidatesArbitrary, fc.nat(), (candidates, seed) => {
        const chosen = chooseOrigin(candidates, null, randomFrom(seed)) as Candidate;
        const relative = candidates.map(({ load, weight }) => (load + 1) / weight);
        const worst = Math.max(...relative);
        const isOnlyWorst = relative.filter((load) => load === worst).length === 1 && candidates.length > 1;
        expect(isOnlyWorst && (chosen.load + 1) / chosen.weight === worst).toBe(false);
      }),
    );
  });

  it('keeps loads even, and in proportion to the weights', () => {
    const even = place([1, 1, 1, 1], 4000, () => null);
    expect(Math.max(...even) - Math.min(...even)).toBeLessThan(20);
    const [light = 0, heavy = 0] = place([1, 3], 4000, () => null);
    expect(heavy / light).toBeCloseTo(3, 1);
  });
});

describe('prefix affinity', () => {
  it('sends a key to the same origin while loads are even', () => {
    fc.assert(
      fc.property(candidatesArbitrary, fc.string(), (candidates, key) => {
        const idle = candidates.map((candidate) => ({ ...candidate, load: 0 }));
        const ids = [1, 2, 3].map((seed) => chooseOrigin(idle, key, randomFrom(seed))?.id);
        expect(new Set(ids).size).toBe(1);
      }),
    );
  });

  it('never loads the origin of a popular key beyond the bound', () => {
    const loads = place([1, 1, 1, 1], 1000, () => 'everybody asks this');
    // A quarter above the fair share of 250, and the one that rounding allows.
    expect(Math.max(...loads)).toBeLessThanOrEqual(314);
    expect(Math.min(...loads)).toBeGreaterThan(0);
  });
});
