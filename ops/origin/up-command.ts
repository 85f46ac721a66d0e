/** `lamina origin up`: a real engine on this machine, until a signal ends it. */
import { availableParallelism } from 'node:os';
import { type CommandContext, commandContext, parseCount, resolvePort } from '../cli/context.ts';
import { onStopRequest } from '../cli/stop-signal.ts';
import { assertPortFree } from '../dev/port.ts';
import { obtainModelFile } from '../models/model-file.ts';
import { OperatorError } from '../support/operator-error.ts';
import { runStep } from '../support/progress.ts';
import { type Engine, startEngine } from './engine.ts';

export interface UpFlags {
  readonly home?: string;
  readonly model?: string;
  readonly port: string;
  readonly slots: string;
  readonly context: string;
  readonly threads?: string;
  readonly key?: string;
}

/** Where vLLM listens by default, so that what works here works there. */
export const DEFAULT_ORIGIN_PORT = '8000';

async function start(flags: UpFlags, context: CommandContext, port: number): Promise<{ engine: Engine; name: string }> {
  const model = await obtainModelFile(flags.model, context);
  const threads = parseCount('--threads', flags.threads) ?? availableParallelism();
  const slots = parseCount('--slots', flags.slots) ?? 1;
  const engine = await runStep(context.progress, 'llama.cpp', async () => {
    const value = await startEngine({
      ...context,
      modelFile: model.path,
      modelName: model.name,
      port,
      slots,
      context: parseCount('--context', flags.context) ?? 1,
      threads,
      key: flags.key ?? null,
    });
    return { value, outcome: `${slots} slots, ${threads} threads` };
  });
  return { engine, name: model.name };
}

/** Resolves when the engine serves; it then runs until a signal ends the process. */
export async function upCommand(flags: UpFlags): Promise<void> {
  const context = commandContext(flags);
  const port = resolvePort(flags.port, context.env);
  let engine: Engine | null = null;
  onStopRequest((signalExitCode) => {
    context.progress.clear();
    if (engine === null) {
      process.exit(signalExitCode);
    }
    void engine.stop().finally(() => process.exit(0));
  });
  await assertPortFree(port);
  const started = await start(flags, context, port);
  engine = started.engine;
  const key = flags.key === undefined ? '' : ' --origin-key <the key>';
  context.print(`Origin is ready at ${engine.url} with ${started.name}`);
  context.print(`Attach it with: npx lamina dev --origin ${engine.url}${key}`);
  await engine.ended;
  throw new OperatorError(
    'runtime_failed',
    'llama.cpp has ended by itself.',
    'Start it again; if it ends while it generates, try fewer --slots or a smaller --context: it may want more memory.',
  );
}
