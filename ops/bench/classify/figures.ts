import { type BenchSample, medianOf } from '../samples.ts';
import { SCENARIOS } from './bench-classify.ts';

/** The ratios that the documentation names. */
export function classifyFigures(samples: readonly BenchSample[], target: string): string[] {
  const ratio = (first: keyof typeof SCENARIOS, second: keyof typeof SCENARIOS): string => {
    const [a, b] = [medianOf(samples, target, SCENARIOS[first]), medianOf(samples, target, SCENARIOS[second])];
    return a === null || b === null ? '–' : (a / b).toFixed(2);
  };
  return [
    `one text takes ${ratio('one', 'prefill')} of the time of prefilling it for chat`,
    `a batch of 64 has ${ratio('batch', 'singles')} times the throughput of single calls`,
    `a chat's p95 between tokens is ${ratio('beside', 'alone')} times as long beside the calls`,
  ];
}
