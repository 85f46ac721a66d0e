/** What every bench measures: a number for a target, a round and a scenario. */
import { median } from './stats.ts';

export type Unit = 'tok/s' | 'ms' | 'GMAC/s' | 'GB/s' | 'req/s' | 'tokens' | '%';

/** One measurement, as kept in the results file. */
export interface BenchSample {
  readonly target: string;
  readonly round: number;
  readonly scenario: string;
  readonly value: number;
  readonly unit: Unit;
}

/** Targets take turns in every round, in reversed order every other round: a machine drifts, and so nobody is always first. */
export function turnOrder<T>(targets: readonly T[], round: number): readonly T[] {
  return round % 2 === 0 ? targets : targets.toReversed();
}

/** Median over the rounds; null when the target has no sample of the scenario. */
export function medianOf(samples: readonly BenchSample[], target: string, scenario: string): number | null {
  const values = samples.filter((s) => s.scenario === scenario && s.target === target).map((s) => s.value);
  return values.length === 0 ? null : median(values);
}

/** The scenarios in the order in which they were first measured. */
export function scenariosOf(samples: readonly BenchSample[]): string[] {
  return [...new Set(samples.map((sample) => sample.scenario))];
}

/** Shown where a target was not measured. */
const NOTHING = '–';

/**
 * Rows of the report: scenario, the median of each target, and the ratio of the first target to each other one. For a
 * rate more is better, for a time less is.
 */
export function summarise(samples: readonly BenchSample[], targets: readonly string[]): string[][] {
  return scenariosOf(samples).map((scenario) => {
    const unit = samples.find((sample) => sample.scenario === scenario)?.unit ?? '';
    const medians = targets.map((target) => medianOf(samples, target, scenario));
    const first = medians[0] ?? null;
    const ratios = medians
      .slice(1)
      .map((other) => (first === null || other === null ? NOTHING : `${(first / other).toFixed(2)}×`));
    const figures = medians.map((value) => (value === null ? NOTHING : `${value.toFixed(value < 10 ? 2 : 1)} ${unit}`));
    return [scenario, ...figures, ...ratios];
  });
}

/** Titles over `summarise`'s rows. */
export function summaryTitles(targets: readonly string[]): string[] {
  return ['scenario', ...targets, ...targets.slice(1).map((target) => `to ${target}`)];
}
