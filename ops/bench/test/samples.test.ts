import { describe, expect, it } from 'vitest';
import { type BenchSample, medianOf, summarise, summaryTitles, turnOrder } from '../samples.ts';
import { median, quantile } from '../stats.ts';

function sample(target: string, round: number, value: number, scenario = 'decode'): BenchSample {
  return { target, round, scenario, value, unit: 'tok/s' };
}

describe('quantile', () => {
  it('interpolates between order statistics', () => {
    expect(quantile([4, 1, 3, 2], 0)).toBe(1);
    expect(quantile([4, 1, 3, 2], 0.5)).toBe(2.5);
    expect(quantile([10, 20], 0.25)).toBe(12.5);
    expect(quantile([4, 1, 3, 2], 1)).toBe(4);
    expect(median([7])).toBe(7);
  });

  it('refuses an empty list', () => {
    expect(() => quantile([], 0.5)).toThrow(RangeError);
  });
});

describe('turnOrder', () => {
  it('reverses every other round', () => {
    expect([0, 1, 2].map((round) => turnOrder(['a', 'b', 'c'], round).join(''))).toEqual(['abc', 'cba', 'abc']);
  });
});

describe('summarise', () => {
  const samples = [
    ...[100, 300, 200].map((value, round) => sample('ours', round, value)),
    ...[50, 400, 100].map((value, round) => sample('theirs', round, value)),
    sample('ours', 0, 5, 'prefill'),
  ];

  it('gives medians and the ratio of the first target to each other', () => {
    expect(summarise(samples, ['ours', 'theirs'])).toEqual([
      ['decode', '200.0 tok/s', '100.0 tok/s', '2.00×'],
      ['prefill', '5.00 tok/s', '–', '–'],
    ]);
    expect(summaryTitles(['ours', 'theirs'])).toEqual(['scenario', 'ours', 'theirs', 'to theirs']);
  });

  it('has no ratio for a single target', () => {
    expect(summarise(samples, ['ours'])[0]).toEqual(['decode', '200.0 tok/s']);
  });

  it('has no median of nothing', () => {
    expect(medianOf(samples, 'theirs', 'prefill')).toBeNull();
  });
});
