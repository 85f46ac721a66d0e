/** What `lamina bench origin` does. */
import { cpus } from 'node:os';
import { commandContext, parseCount } from '../../cli/context.ts';
import { obtainModelFile } from '../../models/model-file.ts';
import { startEngine } from '../../origin/engine.ts';
import { formatTable } from '../../support/format.ts';
import { runStep } from '../../support/progress.ts';
import { startPlatformProcess } from '../../testing/platform-process.ts';
import { createTestHome } from '../../testing/test-home.ts';
import { PUBLIC_MODELS } from '../../../worker/routing/tiers.ts';
import { measureOverhead, summariseOverhead } from './overhead.ts';

export interface OriginBenchFlags {
  readonly home?: string;
  readonly rounds: string;
  readonly tokens: string;
  readonly promptWords: string;
}

const KEY = 'sk-bench';
const CONTEXT_TOKENS = 2048;

export async function originBenchCommand(flags: OriginBenchFlags): Promise<void> {
  const context = commandContext(flags);
  const rounds = parseCount('--rounds', flags.rounds) ?? 1;
  const model = await obtainModelFile(undefined, context);
  const engine = await startEngine({
    ...context,
    modelFile: model.path,
    modelName: model.name,
    port: 0,
    slots: 1,
    context: CONTEXT_TOKENS,
    // The gateway has the other cores.
    threads: 1,
    key: KEY,
  });
  const home = await createTestHome(flags.home);
  try {
    const args = ['--home', home.path, '--origin', engine.url, '--origin-key', KEY];
    const platform = await startPlatformProcess({ args });
    try {
      const gateway = { name: 'gateway', url: platform.url, key: 'sk-local', model: PUBLIC_MODELS.pro.id };
      const direct = { name: 'origin', url: engine.url, key: KEY, model: model.name };
      const samples = await runStep(context.progress, 'Measure in turn', async (step) => {
        const value = await measureOverhead({
          gateway,
          direct,
          rounds,
          tokens: parseCount('--tokens', flags.tokens) ?? 1,
          promptWords: parseCount('--prompt-words', flags.promptWords) ?? 1,
          nowMs: () => performance.now(),
          onRound: (done, total) => {
            step.total(total, 'items');
            step.update(done);
          },
        });
        return { value, outcome: `${rounds} rounds` };
      });
      context.print(`${cpus()[0]?.model ?? 'unknown CPU'}, ${rounds} rounds in turn, llama.cpp on one thread`);
      const titles = ['', 'through the gateway', 'straight', 'added'];
      const columns = titles.map((title, index) => ({
        title,
        align: index === 0 ? ('left' as const) : ('right' as const),
      }));
      formatTable(columns, summariseOverhead(samples, gateway.name, direct.name)).forEach((line) =>
        context.print(line),
      );
    } finally {
      await platform.stop();
    }
  } finally {
    await Promise.all([engine.stop(), home.remove()]);
  }
}
