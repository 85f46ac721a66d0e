import { describe, expect, it } from 'vitest';
import { gapsBefore, SCENARIOS } from '../classify/bench-classify.ts';
import { classifyFigures } from '../classify/figures.ts';
import { shortText } from '../classify/texts.ts';
import type { BenchSample } from '../samples.ts';

describe('figures of classification', () => {
  const sample = (scenario: keyof typeof SCENARIOS, value: number, round = 0): BenchSample => ({
    target: 'lamina',
    round,
    scenario: SCENARIOS[scenario],
    value,
    unit: 'ms',
  });

  it('are ratios within each round, and nothing where nothing was measured', () => {
    const samples = [
      ...[3, 1, 2].map((value) => sample('one', value)),
      sample('cold', 8),
      sample('one', 6, 1),
      sample('cold', 8, 1),
      sample('one', 4, 2),
      sample('cold', 8, 2),
      sample('oneTokens', 15),
      sample('coldTokens', 44),
      sample('warm', 4),
    ];
    expect(classifyFigures(samples, 'lamina')).toEqual([
      'one text (15 tokens) takes 0.50 (0.25 to 0.75) of the time of prefilling it for chat (44 tokens)',
      "… and 0.50 where the chat template's beginning is in the prefix cache (– tokens)",
      'a batch of 64 has – times the throughput of calls one after the other',
      '… and – times that of 64 calls at once',
      "a chat's p95 between tokens is – times as long beside the calls",
      '… and the longest time – times',
    ]);
  });

  it('of a chat beside calls are of the time in which there were any', () => {
    const timing = { firstMs: 100, itlMs: [10, 20, 30, 40] };
    expect(gapsBefore(timing, 130)).toEqual([10, 20]);
    expect(gapsBefore(timing, 131)).toEqual([10, 20, 30]);
    expect(gapsBefore(timing, 1000)).toEqual([10, 20, 30, 40]);
    expect(gapsBefore(timing, 50)).toEqual([10, 20, 30, 40]);
  });
});

it('classifies texts that differ from each other', () => {
  const texts = Array.from({ length: 5000 }, (_, seed) => shortText(seed));
  expect(new Set(texts).size).toBe(5000);
  expect(texts.every((text) => !text.includes('\n'))).toBe(true);
});
