/** `npm run sim`: runs seeds of the simulator and says what they came to. Exit code 1 when a checker fired. */
import { Command, InvalidArgumentError, Option } from 'commander';
import { CANARIES, type Canary } from '../../shards/sim/canary.ts';
import { describeReplay, replayTrace } from './replay-trace.ts';
import { toSeedReport } from './run-seed.ts';
import { runSeeds } from './run-seeds.ts';
import { describeFailure, Summary } from './summary.ts';

interface SimFlags {
  readonly seeds: number;
  readonly first: number;
  readonly seed?: number;
  readonly jobs: number;
  readonly canary?: Canary;
  readonly keepGoing?: boolean;
  readonly trace?: string;
}

const PROGRESS_EVERY_SEEDS = 100;

function wholeNumber(text: string): number {
  const value = Number(text);
  if (!Number.isSafeInteger(value) || value < 0) {
    throw new InvalidArgumentError('a whole number, please');
  }
  return value;
}

async function sim(flags: SimFlags): Promise<boolean> {
  const summary = new Summary();
  const numSeeds = flags.seed === undefined ? flags.seeds : 1;
  const canary = flags.canary ?? null;
  await runSeeds({
    firstSeed: flags.seed ?? flags.first,
    numSeeds,
    jobs: Math.max(1, Math.min(flags.jobs, numSeeds)),
    settings: { canary },
    onReport(report) {
      summary.add(report);
      if (report.failure !== null) {
        console.log(describeFailure(report, canary));
      } else if (summary.numSeeds % PROGRESS_EVERY_SEEDS === 0) {
        console.log(summary.progress(numSeeds));
      }
      return report.failure === null || flags.keepGoing === true;
    },
  });
  console.log(`\n${summary.toString()}`);
  return summary.failed.length === 0;
}

async function simTrace(file: string, seed: number): Promise<boolean> {
  const report = await replayTrace(file, seed);
  const summary = new Summary();
  summary.add(toSeedReport(report));
  for (const failed of summary.failed) {
    console.log(describeFailure(failed, null));
  }
  console.log(`\n${summary.toString()}\n\n${describeReplay(report)}`);
  return summary.failed.length === 0;
}

const program = new Command('sim')
  .description('Simulates replicas under faults: the real engine on virtual time; a seed decides everything.')
  .option('--seeds <count>', 'how many seeds', wholeNumber, 200)
  .option('--first <seed>', 'the first of them', wholeNumber, 1)
  .option('--seed <seed>', 'this one alone', wholeNumber)
  .option('--jobs <count>', 'threads', wholeNumber, 1)
  .addOption(new Option('--canary <name>', 'switches a bug on, which has to be found').choices(CANARIES))
  .option('--trace <file>', 'plays two hours of a published trace of requests (CSV) instead')
  .option('--keep-going', 'goes on after a seed that failed')
  .action(async (flags: SimFlags) => {
    const isOk = flags.trace === undefined ? await sim(flags) : await simTrace(flags.trace, flags.seed ?? flags.first);
    process.exitCode = isOk ? 0 : 1;
  });
await program.parseAsync();
