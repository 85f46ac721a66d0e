/** `lamina bench serve`. */
import { appendFile, mkdir } from 'node:fs/promises';
import { cpus } from 'node:os';
import path from 'node:path';
import type { Command } from 'commander';
import { commandContext, parseCount } from '../cli/context.ts';
import { formatTable } from '../support/format.ts';
import { PROJECT_ROOT } from '../support/home.ts';
import { OperatorError } from '../support/operator-error.ts';
import { runStep } from '../support/progress.ts';
import { startPlatformProcess } from '../testing/platform-process.ts';
import { createTestHome } from '../testing/test-home.ts';
import { startLlamaCppServer } from './llama-cpp-server.ts';
import { benchServe, type ServeSample, summarise } from './serve.ts';
import type { Target } from './streams.ts';

interface ServeFlags {
  readonly url?: string;
  readonly key: string;
  readonly model?: string;
  readonly peer: boolean;
  readonly rounds: string;
  readonly streams: string;
  readonly tokens: string;
  readonly promptWords: string;
  readonly home?: string;
}

const RESULTS_FILE = path.join(PROJECT_ROOT, 'ops', 'bench', 'results', 'serve.jsonl');

/** A server to measure, and how to end it when the bench started it. */
interface RunningTarget {
  readonly target: Target;
  readonly stop: () => Promise<unknown>;
}

async function ownPlatform(flags: ServeFlags): Promise<RunningTarget> {
  if (flags.url !== undefined) {
    const url = flags.url.replace(/\/+$/, '');
    return { target: { name: 'url', url, key: flags.key, model: await firstModel(url, flags) }, stop: async () => {} };
  }
  // A home of its own, so that a platform that is already running does not stand in the way.
  const home = await createTestHome(flags.home);
  const platform = await startPlatformProcess({ args: ['--home', home.path] });
  return {
    target: { name: 'lamina', url: platform.url, key: flags.key, model: await firstModel(platform.url, flags) },
    stop: async () => {
      await platform.stop();
      await home.remove();
    },
  };
}

async function firstModel(url: string, flags: ServeFlags): Promise<string> {
  if (flags.model !== undefined) {
    return flags.model;
  }
  const response = await fetch(`${url}/v1/models`, { headers: { authorization: `Bearer ${flags.key}` } });
  const body = (await response.json()) as { data?: { id: string }[] };
  const model = body.data?.[0]?.id;
  if (model === undefined) {
    throw new OperatorError('request_failed', `${url}/v1/models lists no model.`, 'Name one with --model.');
  }
  return model;
}

async function record(samples: readonly ServeSample[]): Promise<void> {
  await mkdir(path.dirname(RESULTS_FILE), { recursive: true });
  const run = { time: new Date().toISOString(), cpu: cpus()[0]?.model ?? 'unknown', node: process.version };
  await appendFile(RESULTS_FILE, samples.map((sample) => `${JSON.stringify({ ...run, ...sample })}\n`).join(''));
}

async function benchServeCommand(flags: ServeFlags): Promise<void> {
  const context = commandContext(flags);
  const running = [await ownPlatform(flags)];
  try {
    if (flags.peer) {
      running.push(await startLlamaCppServer(context));
    }
    const targets = running.map((entry) => entry.target);
    const samples = await runStep(context.progress, 'Measure over HTTP', async (step) => {
      const value = await benchServe({
        targets,
        rounds: parseCount('--rounds', flags.rounds) ?? 1,
        promptWords: parseCount('--prompt-words', flags.promptWords) ?? 1,
        maxTokens: parseCount('--tokens', flags.tokens) ?? 1,
        concurrency: flags.streams.split(',').map((text) => parseCount('--streams', text.trim()) ?? 1),
        nowMs: () => performance.now(),
        onRound: (done, total) => {
          step.total(total, 'items');
          step.update(done);
        },
      });
      return { value, outcome: `${value.length} samples` };
    });
    await record(samples);
    const names = targets.map((target) => target.name);
    const columns = ['scenario', ...names, ...(names.length > 1 ? ['ratio'] : [])];
    context.print(`${cpus()[0]?.model ?? 'unknown CPU'}, ${flags.rounds} rounds in turn, medians`);
    formatTable(
      columns.map((title, index) => ({ title, align: index === 0 ? 'left' : 'right' })),
      summarise(samples, names),
    ).forEach((line) => context.print(line));
  } finally {
    await Promise.all(running.map((entry) => entry.stop()));
  }
}

/** Adds `bench serve`. */
export function registerServeBench(bench: Command): void {
  bench
    .command('serve')
    .description('first token, decode speed and concurrent streams over HTTP, of this platform or of any server')
    .option('--url <url>', 'a running server that speaks the OpenAI API (starts the platform)')
    .option('--key <key>', 'API key', 'sk-local')
    .option('--model <name>', "model to ask for (the server's first)")
    .option('--peer', 'also measure llama.cpp on one thread with the same file, in turn', false)
    .option('--rounds <count>', 'rounds of each target', '5')
    .option('--streams <list>', 'numbers of concurrent streams', '1,4,8')
    .option('--tokens <count>', 'tokens generated by each stream', '96')
    .option('--prompt-words <count>', 'words of the long prompt', '400')
    .option('--home <folder>', 'where models and local state lie (LAMINA_HOME; .lamina)')
    .action(benchServeCommand);
}
