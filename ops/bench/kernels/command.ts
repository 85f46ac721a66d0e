/** What `lamina bench kernels` does. */
import { commandContext, parseCount } from '../../cli/context.ts';
import { runStep } from '../../support/progress.ts';
import { reportRun } from '../report.ts';
import { benchKernels } from './bench-kernels.ts';
import { type KernelRunner, nodeRunner, workerdRunner } from './runners.ts';

export interface KernelsFlags {
  readonly rounds: string;
  readonly filter: string;
  readonly keep: boolean;
  readonly home?: string;
}

export async function kernelsCommand(flags: KernelsFlags): Promise<void> {
  const context = commandContext(flags);
  const rounds = parseCount('--rounds', flags.rounds) ?? 1;
  const runners: KernelRunner[] = [];
  try {
    runners.push(await nodeRunner(), await workerdRunner());
    const samples = await runStep(context.progress, 'Measure kernels', async (step) => {
      const value = await benchKernels({
        runners,
        rounds,
        filter: flags.filter,
        nowMs: () => performance.now(),
        onCase: (name) => step.note(name),
      });
      return { value, outcome: `${value.length} samples` };
    });
    const targets = runners.map((runner) => runner.name);
    await reportRun(context, { name: 'kernels', samples, targets, rounds, keep: flags.keep });
  } finally {
    await Promise.all(runners.map((runner) => runner.stop()));
  }
}
