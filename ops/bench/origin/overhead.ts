/** What the gateway adds to a stream of an origin: the same requests through it and straight to the origin, in turn. */
import { promptOf } from '../prompts.ts';
import { type BenchSample, turnOrder } from '../samples.ts';
import { quantile } from '../stats.ts';
import { type Target, timeStream } from '../streams.ts';

export interface OverheadOptions {
  readonly gateway: Target;
  /** The origin itself. */
  readonly direct: Target;
  readonly rounds: number;
  readonly tokens: number;
  readonly promptWords: number;
  readonly nowMs: () => number;
  readonly onRound: (done: number, total: number) => void;
}

export const SCENARIOS = ['first token', 'between tokens'] as const;

/** Ranks that are reported: what is usual, and what the unlucky get. */
const QUANTILES = [
  ['p50', 0.5],
  ['p99', 0.99],
] as const;

/** Every round asks both, each with a prompt of its own, so that no cache of prefixes helps the second. */
export async function measureOverhead(options: OverheadOptions): Promise<BenchSample[]> {
  const { gateway, direct, rounds, tokens, promptWords, nowMs } = options;
  const targets = [gateway, direct];
  let seed = 1;
  const stream = (target: Target): ReturnType<typeof timeStream> =>
    timeStream(target, promptOf(promptWords, (seed += 1)), tokens, nowMs);
  for (const target of targets) {
    await stream(target);
  }
  const samples: BenchSample[] = [];
  for (let round = 0; round < rounds; round += 1) {
    for (const target of turnOrder(targets, round)) {
      const { ttftMs, itlMs } = await stream(target);
      const of = { target: target.name, round, unit: 'ms' } as const;
      samples.push({ ...of, scenario: 'first token', value: ttftMs });
      samples.push(...itlMs.map((value) => ({ ...of, scenario: 'between tokens', value })));
    }
    options.onRound(round + 1, rounds);
  }
  return samples;
}

/** Rows of the report: scenario and rank, through the gateway, straight, and the difference. */
export function summariseOverhead(samples: readonly BenchSample[], gateway: string, direct: string): string[][] {
  const values = (target: string, scenario: string): number[] =>
    samples.filter((sample) => sample.target === target && sample.scenario === scenario).map(({ value }) => value);
  return SCENARIOS.flatMap((scenario) =>
    QUANTILES.map(([name, q]) => {
      const [through, straight] = [quantile(values(gateway, scenario), q), quantile(values(direct, scenario), q)];
      const figures = [through, straight, through - straight].map((value) => `${value.toFixed(2)} ms`);
      return [`${scenario}, ${name}`, ...figures];
    }),
  );
}
