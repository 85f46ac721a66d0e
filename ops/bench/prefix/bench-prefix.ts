/**
 * What a long system prompt costs the first request, those after it, and those after a restart of the runtime. Each round
 * has a prompt of its own, and restarts: so what is compared was measured within seconds.
 */
import { promptOf } from '../prompts.ts';
import type { BenchSample } from '../samples.ts';
import { type StreamTiming, type Target, timeStream } from '../streams.ts';

/** A server that can be restarted with what it has stored. */
export interface RestartableTarget {
  current(): Target;
  restart(): Promise<void>;
}

export interface PrefixOptions {
  readonly server: RestartableTarget;
  readonly rounds: number;
  /** Of the prompt that all requests of a round begin with. */
  readonly promptWords: number;
  readonly nowMs: () => number;
  readonly onRound: (done: number, total: number) => void;
}

export const COLD = 'first request';
export const AGAIN = 'second request';
export const RESTARTED = 'after a restart';

/** Requests with one beginning, in the order in which they are sent. The server restarts before the last. */
export const OCCASIONS = [COLD, AGAIN, RESTARTED] as const;

const TOKENS = 2;
/** Apart from those of the prompts that are measured. */
const WARM_UP_SEED = 1_000_000;
const WARM_UP_WORDS = 12;

export async function benchPrefix(options: PrefixOptions): Promise<BenchSample[]> {
  const { server, rounds, nowMs } = options;
  const samples: BenchSample[] = [];
  await warmUp(options, 0);
  for (let round = 0; round < rounds; round++) {
    const beginning = promptOf(options.promptWords, round + 1);
    const ask = (question: string): Promise<StreamTiming> =>
      timeStream(server.current(), `${beginning}\n\nQuestion: ${question}?\n\nAnswer:`, TOKENS, nowMs);
    const cold = await ask('who crosses the bridge');
    const again = await ask('what does the painter see at night');
    await server.restart();
    // Its weights are loaded then; what a start costs is another question.
    await warmUp(options, round + 1);
    const restarted = await ask('where is the silver letter');
    samples.push(...samplesOf(server.current().name, round, [cold, again, restarted]));
    options.onRound(round + 1, rounds);
  }
  return samples;
}

async function warmUp({ server, nowMs }: PrefixOptions, round: number): Promise<void> {
  await timeStream(server.current(), promptOf(WARM_UP_WORDS, WARM_UP_SEED + round), TOKENS, nowMs);
}

function samplesOf(target: string, round: number, timings: readonly StreamTiming[]): BenchSample[] {
  const [cold] = timings;
  const sample = (scenario: string, value: number, unit: BenchSample['unit']): BenchSample => {
    return { target, round, scenario, value, unit };
  };
  return timings.flatMap(({ ttftMs, promptTokens, cachedTokens }, i) => {
    const occasion = OCCASIONS[i] as string;
    return [
      sample(`${occasion}, first token`, ttftMs, 'ms'),
      sample(`${occasion}, first token, of the first request's`, (100 * ttftMs) / (cold?.ttftMs ?? Number.NaN), '%'),
      sample(`${occasion}, cached tokens of the prompt`, (100 * cachedTokens) / promptTokens, '%'),
      sample(`${occasion}, cached tokens`, cachedTokens, 'tokens'),
    ];
  });
}
