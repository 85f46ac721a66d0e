import { type BenchSample, medianOf } from '../samples.ts';
import { median } from '../stats.ts';
import { SCENARIOS } from './bench-classify.ts';

type Scenario = keyof typeof SCENARIOS;

/** Shown where something was not measured. */
const NOTHING = '–';

/** The ratios that the documentation names: of the medians of each round, their median, least and largest. */
export function classifyFigures(samples: readonly BenchSample[], target: string): string[] {
  const ratio = (first: Scenario, second: Scenario): string => {
    const ratios = roundsOf(samples).flatMap((round) => {
      const [a, b] = [first, second].map((scenario) => medianOf(round, target, SCENARIOS[scenario])) as [
        number | null,
        number | null,
      ];
      return a === null || b === null ? [] : [a / b];
    });
    const [least, largest] = [Math.min(...ratios), Math.max(...ratios)];
    const spread = ratios.length > 1 ? ` (${least.toFixed(2)} to ${largest.toFixed(2)})` : '';
    return ratios.length === 0 ? NOTHING : `${median(ratios).toFixed(2)}${spread}`;
  };
  const tokens = (scenario: Scenario): string => medianOf(samples, target, SCENARIOS[scenario])?.toFixed(0) ?? NOTHING;
  const [one, warm, cold] = [tokens('oneTokens'), tokens('warmTokens'), tokens('coldTokens')];
  return [
    `one text (${one} tokens) takes ${ratio('one', 'cold')} of the time of prefilling it for chat (${cold} tokens)`,
    `… and ${ratio('one', 'warm')} where the chat template's beginning is in the prefix cache (${warm} tokens)`,
    `a batch of 64 has ${ratio('batch', 'singles')} times the throughput of calls one after the other`,
    `… and ${ratio('batch', 'atOnce')} times that of 64 calls at once`,
    `a chat's p95 between tokens is ${ratio('beside', 'alone')} times as long beside the calls`,
    `… and the longest time ${ratio('besideLongest', 'aloneLongest')} times`,
  ];
}

function roundsOf(samples: readonly BenchSample[]): BenchSample[][] {
  const rounds = new Map<number, BenchSample[]>();
  for (const sample of samples) {
    rounds.set(sample.round, [...(rounds.get(sample.round) ?? []), sample]);
  }
  return [...rounds.values()];
}
