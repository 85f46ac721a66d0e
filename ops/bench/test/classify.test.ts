import { expect, it } from 'vitest';
import { SCENARIOS } from '../classify/bench-classify.ts';
import { shortText } from '../classify/classify-client.ts';
import { classifyFigures } from '../classify/figures.ts';
import type { BenchSample } from '../samples.ts';

it('tells ratios of medians, and nothing where nothing was measured', () => {
  const sample = (scenario: keyof typeof SCENARIOS, value: number): BenchSample => ({
    target: 'lamina',
    round: 0,
    scenario: SCENARIOS[scenario],
    value,
    unit: 'ms',
  });
  const samples = [sample('one', 3), sample('one', 1), sample('one', 2), sample('prefill', 8), sample('batch', 30)];
  expect(classifyFigures(samples, 'lamina')).toEqual([
    'one text takes 0.25 of the time of prefilling it for chat',
    'a batch of 64 has – times the throughput of single calls',
    "a chat's p95 between tokens is – times as long beside the calls",
  ]);
});

it('classifies texts that differ from their first word on', () => {
  const texts = Array.from({ length: 50 }, (_, seed) => shortText(seed));
  expect(new Set(texts).size).toBe(50);
  expect(texts.every((text) => !text.includes('\n'))).toBe(true);
});
