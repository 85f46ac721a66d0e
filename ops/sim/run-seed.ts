/** One seed, with what the process itself says about it: a promise that nobody looks after fails the seed. */
import type { SimFailure } from '../../shards/sim/failure.ts';
import { simulate, type SimOptions } from '../../shards/sim/simulate.ts';
import { asFailure, type SimReport } from '../../shards/sim/simulation.ts';

/** A report that crosses from a thread to another: plain data. */
export type SeedReport = Omit<SimReport, 'failure'> & {
  readonly failure: { readonly checker: string; readonly message: string } | null;
};

export async function runSeed(world: Omit<SimOptions, 'seed'>, seed: number): Promise<SeedReport> {
  const strays: SimFailure[] = [];
  const onStray = (thrown: unknown): void => {
    strays.push(asFailure(thrown));
  };
  process.on('unhandledRejection', onStray);
  try {
    const report = await simulate({ ...world, seed });
    return toSeedReport({ ...report, failure: report.failure ?? strays[0] ?? null });
  } finally {
    process.off('unhandledRejection', onStray);
  }
}

export function toSeedReport({ failure, ...report }: SimReport): SeedReport {
  return { ...report, failure: failure && { checker: failure.checker, message: failure.message } };
}
