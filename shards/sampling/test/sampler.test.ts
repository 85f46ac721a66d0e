import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { SamplingParams } from '../../engine/protocol.ts';
import { TokenHistory, usesHistory } from '../penalties.ts';
import { Sampler } from '../sampler.ts';
import { naiveAdjust, naiveCandidates, naiveSample } from './naive-sampler.ts';

const PLAIN: SamplingParams = {
  temperature: 1,
  topK: 0,
  topP: 1,
  minP: 0,
  repetitionPenalty: 1,
  presencePenalty: 0,
  frequencyPenalty: 0,
  logitBias: [],
  seed: 0,
};

const VOCAB_SIZE = 40;

/** Logits as models give them, and with many equal ones, where the order of ties matters. */
const logitsArbitrary = fc.oneof(
  fc.array(fc.float({ min: -20, max: 20, noNaN: true }), { minLength: VOCAB_SIZE, maxLength: VOCAB_SIZE }),
  fc.array(fc.constantFrom(-1, -0, 0, 1, 2), { minLength: VOCAB_SIZE, maxLength: VOCAB_SIZE }),
);
const tokenArbitrary = fc.nat({ max: VOCAB_SIZE - 1 });
const seedArbitrary = fc.maxSafeInteger();
const positionArbitrary = fc.nat({ max: 10_000 });

function sampleOnce(logits: readonly number[], params: SamplingParams, position: number): number {
  return new Sampler(logits.length).sample(Float32Array.from(logits), null, params, position);
}

describe('each option against the naive sampler', () => {
  const options: readonly (readonly [string, fc.Arbitrary<Partial<SamplingParams>>])[] = [
    ['none', fc.constant({})],
    ['temperature', fc.record({ temperature: fc.double({ min: 0, max: 5, noNaN: true }) })],
    ['topK', fc.record({ topK: fc.nat({ max: VOCAB_SIZE + 2 }) })],
    ['topP', fc.record({ topP: fc.double({ min: 1e-6, max: 1, noNaN: true }) })],
    ['minP', fc.record({ minP: fc.double({ min: 0, max: 1, noNaN: true }) })],
    [
      'all filters',
      fc.record({
        temperature: fc.double({ min: 0.05, max: 3, noNaN: true }),
        topK: fc.nat({ max: VOCAB_SIZE }),
        topP: fc.double({ min: 1e-6, max: 1, noNaN: true }),
        minP: fc.double({ min: 0, max: 0.5, noNaN: true }),
      }),
    ],
  ];

  it.each(options)('%s', (_name, optionArbitrary) => {
    fc.assert(
      fc.property(
        logitsArbitrary,
        optionArbitrary,
        seedArbitrary,
        positionArbitrary,
        (logits, option, seed, position) => {
          const params = { ...PLAIN, ...option, seed };
          expect(sampleOnce(logits, params, position)).toBe(naiveSample(logits, params, position));
        },
      ),
      { numRuns: 500 },
    );
  });

  it('penalties and biases', () => {
    const penaltiesArbitrary = fc.record({
      repetitionPenalty: fc.double({ min: 0.5, max: 2, noNaN: true }),
      presencePenalty: fc.double({ min: -2, max: 2, noNaN: true }),
      frequencyPenalty: fc.double({ min: -2, max: 2, noNaN: true }),
      logitBias: fc.array(fc.tuple(tokenArbitrary, fc.double({ min: -100, max: 100, noNaN: true })), { maxLength: 4 }),
    });
    const tokensArbitrary = fc.array(tokenArbitrary, { maxLength: 12 });
    fc.assert(
      fc.property(
        logitsArbitrary,
        penaltiesArbitrary,
        tokensArbitrary,
        tokensArbitrary,
        seedArbitrary,
        (logits, penalties, promptTokens, outputTokens, seed) => {
          const params = { ...PLAIN, ...penalties, seed };
          const history = new TokenHistory(promptTokens);
          for (const tokenId of outputTokens) {
            history.addOutputToken(tokenId);
          }
          const adjusted = naiveAdjust(logits, promptTokens, outputTokens, params);
          for (const temperature of [0, 1]) {
            const expected = naiveSample(adjusted, { ...params, temperature }, 3);
            const sampler = new Sampler(VOCAB_SIZE);
            expect(sampler.sample(Float32Array.from(logits), history, { ...params, temperature }, 3)).toBe(expected);
          }
        },
      ),
      { numRuns: 500 },
    );
  });
});

describe('sampling', () => {
  it('takes the lowest id of equal logits when it is greedy', () => {
    expect(sampleOnce([0, 3, 1, 3, 3], { ...PLAIN, temperature: 0 }, 0)).toBe(1);
    expect(sampleOnce([0, 3, 1, 3, 3], { ...PLAIN, topK: 1 }, 0)).toBe(1);
  });

  it('leaves the logits as they are', () => {
    const logits = Float32Array.from([1, 2, 3]);
    const params: SamplingParams = { ...PLAIN, logitBias: [[0, 50]], temperature: 0 };
    expect(new Sampler(3).sample(logits, null, params, 0)).toBe(0);
    expect([...logits]).toEqual([1, 2, 3]);
  });

  it('draws the same token at the same seed and position, and others elsewhere', () => {
    const logits = Array.from({ length: VOCAB_SIZE }, () => 0);
    const draw = (seed: number, position: number): number => sampleOnce(logits, { ...PLAIN, seed }, position);
    expect(draw(5, 9)).toBe(draw(5, 9));
    const overPositions = new Set(Array.from({ length: 20 }, (_, position) => draw(5, position)));
    const overSeeds = new Set(Array.from({ length: 20 }, (_, seed) => draw(seed, 5)));
    expect(Math.min(overPositions.size, overSeeds.size)).toBeGreaterThan(5);
  });

  it('keeps a history for penalties only', () => {
    expect(usesHistory(PLAIN)).toBe(false);
    expect(usesHistory({ ...PLAIN, repetitionPenalty: 1.1 })).toBe(true);
    expect(usesHistory({ ...PLAIN, presencePenalty: 0.1 })).toBe(true);
    expect(usesHistory({ ...PLAIN, frequencyPenalty: -0.1 })).toBe(true);
  });

  it('refuses logits without a finite maximum', () => {
    expect(() => sampleOnce([-Infinity, -Infinity], PLAIN, 0)).toThrow('not finite');
    expect(() => sampleOnce([Number.NaN, 1, 2], PLAIN, 0)).toThrow('not finite');
    expect(() => sampleOnce([1, Number.NaN, 2], PLAIN, 0)).toThrow('not a number');
  });

  /** 99.9th percentile of the chi-square distribution with 19 degrees of freedom. */
  const CHI_SQUARE_19_MAX = 43.82;

  it.each([
    ['plain', {}],
    ['temperature 0.6', { temperature: 0.6 }],
    ['topP 0.8', { topP: 0.8 }],
    ['minP 0.1', { minP: 0.1 }],
  ] as const)('draws with the right frequencies: %s', (_name, option) => {
    const numDraws = 20_000;
    const logits = Array.from({ length: 20 }, (_, i) => Math.fround(Math.sin(i * 1.7) * 2));
    const params = { ...PLAIN, ...option, seed: 20_241_124 };
    const counts = new Map<number, number>();
    const sampler = new Sampler(logits.length);
    const view = Float32Array.from(logits);
    for (let position = 0; position < numDraws; position++) {
      const tokenId = sampler.sample(view, null, params, position);
      counts.set(tokenId, (counts.get(tokenId) ?? 0) + 1);
    }
    const candidates = naiveCandidates(logits, params);
    const total = candidates.reduce((mass, { weight }) => mass + weight, 0);
    let chiSquare = 0;
    for (const { tokenId, weight } of candidates) {
      const expected = (numDraws * weight) / total;
      chiSquare += ((counts.get(tokenId) ?? 0) - expected) ** 2 / expected;
      counts.delete(tokenId);
    }
    expect(counts.size).toBe(0);
    expect(chiSquare).toBeLessThan(CHI_SQUARE_19_MAX);
  });
});
