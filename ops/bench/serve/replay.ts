/** Replays a trace against a server: requests start when they came, whatever the server does with the ones before. */
import { promptOf } from '../prompts.ts';
import type { BenchSample } from '../samples.ts';
import { quantile } from '../stats.ts';
import { type StreamTiming, type Target, timeStream } from '../streams.ts';
import { PERCENTILES } from './bench-serve.ts';
import type { TraceRequest } from './trace.ts';

export interface ReplayClock {
  readonly nowMs: () => number;
  readonly sleep: (ms: number) => Promise<unknown>;
}

export interface Goal {
  readonly ttftMsMax: number;
  /** Of the mean over a request's tokens. */
  readonly itlMsMax: number;
}

export interface ReplayOutcome {
  readonly timings: readonly StreamTiming[];
  /** Requests that got anything but a whole stream. */
  readonly numRefused: number;
  /** From the first request to the last token. */
  readonly spanMs: number;
}

/** The bench's prompts have about this many tokens for each word; the server counts exactly. */
const TOKENS_PER_WORD = 1;
/** Words that `promptOf` adds around the words that it is asked for. */
const FRAME_WORDS = 10;

function promptWords(promptTokens: number): number {
  return Math.max(1, Math.round(promptTokens / TOKENS_PER_WORD) - FRAME_WORDS);
}

/** @param seed the first request's prompt; the following requests count on from it. */
export async function replay(
  target: Target,
  requests: readonly TraceRequest[],
  seed: number,
  { nowMs, sleep }: ReplayClock,
): Promise<ReplayOutcome> {
  const startMs = nowMs();
  const outcomes = await Promise.all(
    requests.map(async ({ arrivalMs, promptTokens, outputTokens }, index) => {
      await sleep(arrivalMs);
      const prompt = promptOf(promptWords(promptTokens), seed + index);
      return timeStream(target, prompt, outputTokens, nowMs).catch(() => null);
    }),
  );
  const timings = outcomes.filter((timing) => timing !== null);
  return { timings, numRefused: outcomes.length - timings.length, spanMs: nowMs() - startMs };
}

function isGood(timing: StreamTiming, goal: Goal): boolean {
  const meanItlMs = (timing.lastMs - timing.firstMs) / Math.max(1, timing.completionTokens - 1);
  return timing.ttftMs <= goal.ttftMsMax && meanItlMs <= goal.itlMsMax;
}

/** The figures of one replay. Goodput counts the requests that met the goal, and their tokens. */
export function replaySamples(target: string, round: number, outcome: ReplayOutcome, goal: Goal): BenchSample[] {
  const { timings, numRefused, spanMs } = outcome;
  const good = timings.filter((timing) => isGood(timing, goal));
  const numTokens = good.reduce((sum, timing) => sum + timing.completionTokens, 0);
  const sample = (scenario: string, value: number, unit: BenchSample['unit']): BenchSample => ({
    target,
    round,
    scenario,
    value,
    unit,
  });
  const ttftMs = timings.map((timing) => timing.ttftMs);
  const itlMs = timings.flatMap((timing) => timing.itlMs);
  const percentiles = (name: string, values: readonly number[]): BenchSample[] =>
    values.length === 0 ? [] : PERCENTILES.map(([label, q]) => sample(`${name} ${label}`, quantile(values, q), 'ms'));
  return [
    sample('goodput, requests', (good.length * 1000) / spanMs, 'req/s'),
    sample('goodput, tokens', (numTokens * 1000) / spanMs, 'tok/s'),
    sample('requests that met the goal', (good.length * 100) / (timings.length + numRefused), '%'),
    sample('refused', (numRefused * 100) / (timings.length + numRefused), '%'),
    ...percentiles('first token', ttftMs),
    ...percentiles('between tokens', itlMs),
  ];
}
