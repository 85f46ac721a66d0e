/** What `lamina bench classify` does: starts the platform of this tree, trains a small classifier, and measures with it. */
import { commandContext, parseCount } from '../../cli/context.ts';
import { PROJECT_ROOT } from '../../support/home.ts';
import { runStep } from '../../support/progress.ts';
import { reportRun } from '../report.ts';
import { platformTarget, type TargetFlags } from '../serve/targets.ts';
import { benchClassify } from './bench-classify.ts';
import { trainClassifier } from './classify-client.ts';
import { classifyFigures } from './figures.ts';

export interface ClassifyFlags extends TargetFlags {
  readonly rounds: string;
  readonly calls: string;
  readonly keep: boolean;
}

export async function classifyCommand(flags: ClassifyFlags): Promise<void> {
  const context = commandContext(flags);
  const rounds = parseCount('--rounds', flags.rounds) ?? 1;
  const { target, stop } = await platformTarget('lamina', PROJECT_ROOT, flags);
  try {
    const samples = await runStep(context.progress, 'Classify', async (step) => {
      const classifier = await trainClassifier(target);
      const value = await benchClassify({
        target,
        classifier,
        rounds,
        numCalls: parseCount('--calls', flags.calls) ?? 1,
        nowMs: () => performance.now(),
        onRound: (done) => {
          step.total(rounds, 'items');
          step.update(done);
        },
      });
      return { value, outcome: `${value.length} samples` };
    });
    await reportRun(context, { name: 'classify', samples, targets: [target.name], rounds, keep: flags.keep });
    classifyFigures(samples, target.name).forEach((line) => context.print(line));
  } finally {
    await stop();
  }
}
