/** What `lamina bench serve` does. */
import { type CommandContext, commandContext, parseCount } from '../../cli/context.ts';
import { parseCounts } from '../counts.ts';
import { PROJECT_ROOT } from '../../support/home.ts';
import { runStep } from '../../support/progress.ts';
import { startLlamaCppServer } from '../llama-cpp-server.ts';
import { reportRun } from '../report.ts';
import type { BenchSample } from '../samples.ts';
import type { Target } from '../streams.ts';
import { benchServe } from './bench-serve.ts';
import { platformTarget, urlTarget, type RunningTarget, type TargetFlags } from './targets.ts';
import { type TraceFlags, traceCommand } from './trace-command.ts';

/** The scenarios; `bench compare` has the same. */
export interface ServeScenarioFlags {
  readonly rounds: string;
  readonly streams: string;
  readonly tokens: string;
  readonly promptWords: string;
}

export interface ServeFlags extends ServeScenarioFlags, TargetFlags, TraceFlags {
  readonly url?: string;
  readonly peer: boolean;
  readonly keep: boolean;
}

export async function measureServers(
  targets: readonly Target[],
  flags: ServeScenarioFlags,
  context: CommandContext,
): Promise<BenchSample[]> {
  return runStep(context.progress, 'Measure over HTTP', async (step) => {
    const value = await benchServe({
      targets,
      rounds: parseCount('--rounds', flags.rounds) ?? 1,
      promptWords: parseCount('--prompt-words', flags.promptWords) ?? 1,
      maxTokens: parseCount('--tokens', flags.tokens) ?? 1,
      concurrency: parseCounts('--streams', flags.streams),
      nowMs: () => performance.now(),
      onRound: (done, total) => {
        step.total(total, 'items');
        step.update(done);
      },
    });
    return { value, outcome: `${value.length} samples` };
  });
}

export async function serveCommand(flags: ServeFlags): Promise<void> {
  const context = commandContext(flags);
  const running: RunningTarget[] = [];
  try {
    running.push(
      flags.url === undefined ? await platformTarget('lamina', PROJECT_ROOT, flags) : await urlTarget(flags.url, flags),
    );
    if (flags.peer) {
      running.push(await startLlamaCppServer(context));
    }
    const targets = running.map((entry) => entry.target);
    const names = targets.map((target) => target.name);
    const rounds = parseCount('--rounds', flags.rounds) ?? 1;
    const { keep } = flags;
    if (flags.trace === undefined) {
      const samples = await measureServers(targets, flags, context);
      await reportRun(context, { name: 'serve', samples, targets: names, rounds, keep });
    } else {
      const samples = await traceCommand(flags.trace, targets, rounds, flags, context);
      await reportRun(context, { name: 'trace', samples, targets: names, rounds, keep });
    }
  } finally {
    await Promise.all(running.map((entry) => entry.stop()));
  }
}
