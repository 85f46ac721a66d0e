/** `lamina bench serve --trace`. */
import { readFile } from 'node:fs/promises';
import { type CommandContext, parseCount } from '../../cli/context.ts';
import { messageOf, OperatorError } from '../../support/operator-error.ts';
import { runStep } from '../../support/progress.ts';
import { promptOf } from '../prompts.ts';
import { type BenchSample, turnOrder } from '../samples.ts';
import { type Target, timeStream } from '../streams.ts';
import { replay, replaySamples } from './replay.ts';
import { parseTrace, scaleTrace } from './trace.ts';

export interface TraceFlags {
  readonly trace?: string;
  readonly traceRequests: string;
  readonly traceSeconds: string;
  readonly traceTokens: string;
  readonly ttftMs: string;
  readonly itlMs: string;
}

const WARM_UP = { words: 100, tokens: 16 };

async function readTrace(file: string): Promise<string> {
  try {
    return await readFile(file, 'utf8');
  } catch (error) {
    throw new OperatorError('usage', `The trace cannot be read: ${messageOf(error)}.`, null, { cause: error });
  }
}

/** Replays the scaled trace against every target, in turn. */
export async function traceCommand(
  file: string,
  targets: readonly Target[],
  rounds: number,
  flags: TraceFlags,
  { progress }: CommandContext,
): Promise<BenchSample[]> {
  const requestsMax = parseCount('--trace-requests', flags.traceRequests) ?? 1;
  const requests = scaleTrace(parseTrace(await readTrace(file), requestsMax), {
    requestsMax,
    spanMs: (parseCount('--trace-seconds', flags.traceSeconds) ?? 1) * 1000,
    promptTokensMax: parseCount('--trace-tokens', flags.traceTokens) ?? 1,
  });
  const goal = {
    ttftMsMax: parseCount('--ttft-ms', flags.ttftMs) ?? 1,
    itlMsMax: parseCount('--itl-ms', flags.itlMs) ?? 1,
  };
  const clock = {
    nowMs: () => performance.now(),
    sleep: (ms: number) => new Promise((resolve) => setTimeout(resolve, ms)),
  };
  return runStep(progress, 'Replay the trace', async (step) => {
    step.total(rounds * targets.length, 'items');
    const value: BenchSample[] = [];
    let numReplays = 0;
    for (let round = 0; round < rounds; round++) {
      for (const target of turnOrder(targets, round)) {
        // Seeds that no other request has: a prefix that was seen would cost nothing.
        const seed = 1 + numReplays * (requests.length + 1);
        await timeStream(target, promptOf(WARM_UP.words, seed), WARM_UP.tokens, clock.nowMs);
        value.push(...replaySamples(target.name, round, await replay(target, requests, seed + 1, clock), goal));
        step.update((numReplays += 1));
      }
    }
    return { value, outcome: `${requests.length} requests each` };
  });
}
