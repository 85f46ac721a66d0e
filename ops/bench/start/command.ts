/** What `lamina bench start` does: starts the platform of this tree again and again, each time in new processes. */
import { commandContext, type CommandContext, parseCount } from '../../cli/context.ts';
import { startPlatform } from '../../dev/platform.ts';
import { prepareModel, type PreparedModel } from '../../dev/prepare.ts';
import { homeLayout } from '../../support/home.ts';
import { type Progress, runStep, type Step } from '../../support/progress.ts';
import { createTestHome } from '../../testing/test-home.ts';
import { reportRun } from '../report.ts';
import { benchStart, type ColdPlatform, type StartSubject } from './bench-start.ts';
import { startRequests } from './requests.ts';

export interface StartFlags {
  readonly rounds: string;
  readonly stages: string;
  readonly keep: boolean;
  readonly home?: string;
}

export async function startCommand(flags: StartFlags): Promise<void> {
  const context = commandContext(flags);
  const rounds = parseCount('--rounds', flags.rounds) ?? 1;
  const prepared = await prepareModel(undefined, { stageCount: parseCount('--stages', flags.stages) ?? 1 }, context);
  const subjects = [1, 2]
    .filter((numProcesses) => numProcesses <= prepared.plan.stages.length)
    .map((numProcesses) => subjectOf(numProcesses, prepared, flags, context));
  const samples = await runStep(context.progress, 'Start again and again', async (step) => {
    const value = await benchStart({
      subjects,
      requests: startRequests(),
      rounds,
      nowMs: () => performance.now(),
      onRound: (done, total) => {
        step.total(total, 'items');
        step.update(done);
      },
    });
    return { value, outcome: `${value.length} samples` };
  });
  const targets = subjects.map(({ name }) => name);
  await reportRun(context, { name: 'start', samples, targets, rounds, keep: flags.keep });
}

function subjectOf(
  numProcesses: number,
  prepared: PreparedModel,
  flags: StartFlags,
  { env }: CommandContext,
): StartSubject {
  return {
    name: numProcesses === 1 ? '1 process' : `${numProcesses} processes`,
    async start(): Promise<ColdPlatform> {
      const home = await createTestHome(flags.home);
      const startMs = new Map<string, number>();
      const platform = await startPlatform({
        home: homeLayout(home.path),
        prepared,
        port: 0,
        numReplicas: 1,
        numProcesses,
        env,
        progress: timingProgress(startMs),
        onLog() {},
        // The bench asks itself.
        untilReady: async () => {},
      });
      const stop = async (): Promise<void> => {
        await platform.stop();
        await home.remove();
      };
      return { url: platform.url, startMs, stop };
    },
  };
}

/** Notes how long each step of a start takes; the one that waits for an answer has nothing to wait for. */
function timingProgress(startMs: Map<string, number>): Progress {
  return {
    step: (label): Step => {
      const startedMs = performance.now();
      return {
        total() {},
        update() {},
        note() {},
        done: () => {
          const ms = performance.now() - startedMs;
          if (label !== 'First token') {
            startMs.set(label, ms);
          }
        },
        failed() {},
      };
    },
    info() {},
    warn() {},
  };
}
