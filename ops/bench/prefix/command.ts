/** What `lamina bench prefix` does: measures the platform of this tree, which it starts and restarts itself. */
import { commandContext, parseCount } from '../../cli/context.ts';
import { PROJECT_ROOT } from '../../support/home.ts';
import { runStep } from '../../support/progress.ts';
import { reportRun } from '../report.ts';
import { restartablePlatform, type TargetFlags } from '../serve/targets.ts';
import { benchPrefix } from './bench-prefix.ts';

export interface PrefixFlags extends TargetFlags {
  readonly rounds: string;
  readonly promptWords: string;
  readonly keep: boolean;
}

export async function prefixCommand(flags: PrefixFlags): Promise<void> {
  const context = commandContext(flags);
  const rounds = parseCount('--rounds', flags.rounds) ?? 1;
  const server = await restartablePlatform('lamina', PROJECT_ROOT, flags);
  try {
    const samples = await runStep(context.progress, 'Measure a prompt again and again', async (step) => {
      const value = await benchPrefix({
        server,
        rounds,
        promptWords: parseCount('--prompt-words', flags.promptWords) ?? 1,
        nowMs: () => performance.now(),
        onRound: (done, total) => {
          step.total(total, 'items');
          step.update(done);
        },
      });
      return { value, outcome: `${value.length} samples` };
    });
    const targets = [server.current().name];
    await reportRun(context, { name: 'prefix', samples, targets, rounds, keep: flags.keep });
  } finally {
    await server.stop();
  }
}
