/** What `lamina bench ring` does: starts one platform for each way to split the model, and measures them in turn. */
import { commandContext, parseCount } from '../../cli/context.ts';
import { PROJECT_ROOT } from '../../support/home.ts';
import { reportRun } from '../report.ts';
import { measureServers, type ServeScenarioFlags } from '../serve/command.ts';
import { platformTarget, type RunningTarget, type TargetFlags } from '../serve/targets.ts';
import { ringFigures } from './figures.ts';
import { RINGS } from './rings.ts';

export interface RingFlags extends ServeScenarioFlags, TargetFlags {
  readonly keep: boolean;
}

export async function ringCommand(flags: RingFlags): Promise<void> {
  const context = commandContext(flags);
  const running: RunningTarget[] = [];
  try {
    for (const { name, args } of RINGS) {
      running.push(await platformTarget(name, PROJECT_ROOT, flags, args));
    }
    const targets = running.map((entry) => entry.target);
    const samples = await measureServers(targets, flags, context);
    const rounds = parseCount('--rounds', flags.rounds) ?? 1;
    const names = targets.map((target) => target.name);
    await reportRun(context, { name: 'ring', samples, targets: names, rounds, keep: flags.keep });
    ringFigures(samples).forEach((line) => context.print(line));
  } finally {
    await Promise.all(running.map((entry) => entry.stop()));
  }
}
