import { describe, expect, it } from 'vitest';
import { argmax, klDivergence, klDivergenceOfTop, logSumExp, QualityTally } from '../metrics.ts';

const ln = Math.log;

describe('logSumExp', () => {
  it('is exact where the sum is known, and does not overflow', () => {
    expect(logSumExp([ln(1), ln(2), ln(5)])).toBeCloseTo(ln(8), 14);
    expect(logSumExp([1000, 1000])).toBeCloseTo(1000 + ln(2), 12);
    expect(logSumExp([-1000, -2000])).toBeCloseTo(-1000, 12);
  });
});

describe('argmax', () => {
  it('gives the first of equal values', () => {
    expect(argmax([1, 7, 3, 7])).toBe(1);
    expect(argmax([-3, -2, -9])).toBe(1);
  });
});

describe('klDivergence', () => {
  const reference = [ln(0.5), ln(0.25), ln(0.25)];

  it('is zero for the same distribution, whatever is added to the logits', () => {
    const logits = reference.map((value) => value + 3);
    expect(klDivergence(reference, logits, logSumExp(logits))).toBeCloseTo(0, 14);
  });

  it('is KL(reference‖ours), not the other way round', () => {
    const ours = [ln(0.25), ln(0.25), ln(0.5)];
    const expected = 0.5 * ln(0.5 / 0.25) + 0.25 * ln(0.25 / 0.25) + 0.25 * ln(0.25 / 0.5);
    expect(klDivergence(reference, ours, logSumExp(ours))).toBeCloseTo(expected, 14);
    const skewed = [ln(0.9), ln(0.05), ln(0.05)];
    const forward = 0.5 * ln(0.5 / 0.9) + 0.5 * ln(0.25 / 0.05);
    expect(klDivergence(reference, skewed, logSumExp(skewed))).toBeCloseTo(forward, 14);
  });

  it('refuses different vocabularies', () => {
    expect(() => klDivergence(reference, [0, 0], 0)).toThrow(/vocabularies/);
  });
});

describe('klDivergenceOfTop', () => {
  const reference = [ln(0.4), ln(0.3), ln(0.2), ln(0.1)];
  const ours = [ln(0.3), ln(0.3), ln(0.1), ln(0.3)];

  it('merges what is outside the top into one token', () => {
    const expected = 0.4 * ln(0.4 / 0.3) + 0.3 * ln(0.3 / 0.3) + 0.3 * ln(0.3 / 0.4);
    expect(klDivergenceOfTop([0, 1], reference.slice(0, 2), ours, 0)).toBeCloseTo(expected, 14);
  });

  it('is the full divergence when the top is everything, and never more', () => {
    const full = klDivergence(reference, ours, 0);
    expect(klDivergenceOfTop([0, 1, 2, 3], reference, ours, 0)).toBeCloseTo(full, 12);
    expect(klDivergenceOfTop([0, 1], reference.slice(0, 2), ours, 0)).toBeLessThan(full);
  });
});

describe('QualityTally', () => {
  it('averages over predictions', () => {
    const tally = new QualityTally();
    tally.add({ targetLogProb: ln(0.5), referenceTargetLogProb: ln(0.25), klDivergence: 0.1, isTop1Equal: true });
    tally.add({ targetLogProb: ln(0.125), referenceTargetLogProb: ln(0.25), klDivergence: 0.3, isTop1Equal: false });
    const quality = tally.quality();
    expect(quality.perplexity).toBeCloseTo(4, 12);
    expect(quality.referencePerplexity).toBeCloseTo(4, 12);
    expect(quality.klDivergence).toBeCloseTo(0.2, 12);
    expect(quality.top1Agreement).toBe(0.5);
    expect(quality.numPredictions).toBe(2);
  });

  it('refuses to average over nothing', () => {
    expect(() => new QualityTally().quality()).toThrow(/no predictions/);
  });
});
