import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { indicesOfLargest, logSumExp, tokenLogprob } from '../logprobs.ts';

const logitsArbitrary = fc
  .array(fc.oneof(fc.float({ min: -50, max: 50, noNaN: true }), fc.constantFrom(0, 1)), {
    minLength: 1,
    maxLength: 100,
  })
  .map((values) => Float32Array.from(values));

describe('log-probabilities', () => {
  it('sum up to 1', () => {
    fc.assert(
      fc.property(logitsArbitrary, (logits) => {
        const total = Array.from(logits, (_, tokenId) => Math.exp(tokenLogprob(logits, tokenId, 0).logprob));
        expect(total.reduce((sum, probability) => sum + probability, 0)).toBeCloseTo(1, 9);
      }),
    );
  });

  it('survive logits that overflow an exponential', () => {
    expect(logSumExp(Float32Array.of(10_000, 10_000))).toBeCloseTo(10_000 + Math.LN2, 9);
    expect(tokenLogprob(Float32Array.of(0, -10_000), 1, 0).logprob).toBeCloseTo(-10_000, 9);
  });

  it('report the most likely tokens, first the likeliest', () => {
    expect(tokenLogprob(Float32Array.of(0, 2, 1, 2), 0, 3).top.map(([tokenId]) => tokenId)).toEqual([1, 3, 2]);
  });
});

describe('indicesOfLargest', () => {
  it('equals the beginning of a stable sort', () => {
    fc.assert(
      fc.property(logitsArbitrary, fc.nat({ max: 25 }), (values, count) => {
        const sorted = Array.from(values.keys()).toSorted((a, b) => Number(values[b]) - Number(values[a]) || a - b);
        expect(indicesOfLargest(values, count)).toEqual(sorted.slice(0, count));
      }),
      { numRuns: 1000 },
    );
  });
});
