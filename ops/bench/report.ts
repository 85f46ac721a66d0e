/** The end of every bench: the samples go to their file, and the medians to the operator. */
import type { CommandContext } from '../cli/context.ts';
import { formatTable } from '../support/format.ts';
import { appendRun, type BenchRun, describeRun, resultsFile } from './results.ts';
import { type BenchSample, summarise, summaryTitles } from './samples.ts';

export interface ReportOptions {
  /** Name of the subcommand. */
  readonly name: string;
  readonly samples: readonly BenchSample[];
  readonly targets: readonly string[];
  readonly rounds: number;
  /** Whether the run goes where the documentation is made from. */
  readonly keep: boolean;
}

/** Lines of a run: what it ran on, and a table of medians and ratios. */
export function reportLines({ info, samples }: BenchRun): string[] {
  const titles = summaryTitles(info.targets);
  return [
    `${info.cpu}, Node ${info.node}, commit ${info.commit}, ${info.rounds} rounds in turn, medians`,
    ...formatTable(
      titles.map((title, index) => ({ title, align: index === 0 ? 'left' : 'right' })),
      summarise(samples, info.targets),
    ),
  ];
}

export async function reportRun(context: CommandContext, options: ReportOptions): Promise<void> {
  const { name, samples, targets, rounds, keep } = options;
  const run = { info: await describeRun(targets, rounds, context.env), samples };
  await appendRun(resultsFile(name, keep), run);
  reportLines(run).forEach((line) => context.print(line));
}
