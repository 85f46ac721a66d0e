/** What classification costs: against prefilling the same text, in a batch against one by one, and for a chat beside it. */
import { promptOf } from '../prompts.ts';
import type { BenchSample, Unit } from '../samples.ts';
import { quantile } from '../stats.ts';
import { type StreamTiming, timeStream, type Target } from '../streams.ts';
import { classify, prefillColdForChat, prefillForChat, type PromptUsage } from './classify-client.ts';
import { shortText } from './texts.ts';

export const SCENARIOS = {
  one: 'one text',
  warm: 'the same, prefilled for chat',
  cold: 'the same, nothing of the chat template in the cache',
  oneTokens: 'tokens computed: one text',
  warmTokens: 'tokens computed: prefilled for chat',
  coldTokens: 'tokens computed: nothing in the cache',
  singles: '64 texts, one call after the other',
  atOnce: '64 texts, 64 calls at once',
  batch: '64 texts in one call',
  alone: 'chat alone, between tokens, p95',
  aloneLongest: 'chat alone, between tokens, longest',
  beside: 'chat beside the calls, p95',
  besideLongest: 'chat beside the calls, longest',
} as const;

const BATCH = 64;
/** Texts of each kind in a round: a median of a few is steadier than one. */
const REPEATS = 8;
/** Times that the throughput of 64 texts is measured in a round, turn about. */
const BATCH_REPEATS = 2;
const CHAT_TOKENS = 150;
/** Between the seeds of two rounds: more than a round uses. */
const ROUND_SEEDS = 10_000;

export interface ClassifyBenchOptions {
  readonly target: Target;
  /** Id of a classifier that is ready. */
  readonly classifier: string;
  readonly rounds: number;
  /** Calls at once beside a chat. */
  readonly numCalls: number;
  readonly nowMs: () => number;
  readonly onRound: (done: number) => void;
}

/** One round under way. */
interface Round extends ClassifyBenchOptions {
  readonly add: (scenario: keyof typeof SCENARIOS, value: number, unit: Unit) => void;
  /** A number that no text was made of yet. */
  readonly seed: () => number;
}

export async function benchClassify(options: ClassifyBenchOptions): Promise<BenchSample[]> {
  const { target, rounds, onRound } = options;
  const samples: BenchSample[] = [];
  for (let round = 0; round < rounds; round += 1) {
    let lastSeed = ROUND_SEEDS * (round + 1);
    const current: Round = {
      ...options,
      add: (scenario, value, unit) => {
        samples.push({ target: target.name, round, scenario: SCENARIOS[scenario], value, unit });
      },
      seed: () => (lastSeed += 1),
    };
    await measureOne(current);
    await measureBatch(current);
    await measureChat(current);
    onRound(round + 1);
  }
  return samples;
}

async function timed<T>(nowMs: () => number, work: () => Promise<T>): Promise<{ ms: number; value: T }> {
  const startMs = nowMs();
  const value = await work();
  return { ms: nowMs() - startMs, value };
}

/** Turn about, so that all see the same machine. */
async function measureOne({ target, classifier, nowMs, add, seed }: Round): Promise<void> {
  const take = async (
    scenario: 'one' | 'warm' | 'cold',
    tokens: 'oneTokens' | 'warmTokens' | 'coldTokens',
    work: () => Promise<PromptUsage>,
  ): Promise<void> => {
    const { ms, value } = await timed(nowMs, work);
    add(scenario, ms, 'ms');
    add(tokens, value.promptTokens - value.cachedTokens, 'tokens');
  };
  for (let repeat = 0; repeat < REPEATS; repeat += 1) {
    const text = shortText(seed());
    await take('one', 'oneTokens', () => classify(target, classifier, text));
    await take('warm', 'warmTokens', () => prefillForChat(target, text));
    await take('cold', 'coldTokens', () => prefillColdForChat(target, text, seed()));
  }
}

async function measureBatch({ target, classifier, nowMs, add, seed }: Round): Promise<void> {
  const ways = {
    singles: async (texts: readonly string[]) => {
      for (const text of texts) {
        await classify(target, classifier, text);
      }
    },
    atOnce: (texts: readonly string[]) => Promise.all(texts.map((text) => classify(target, classifier, text))),
    batch: (texts: readonly string[]) => classify(target, classifier, texts),
  } as const;
  for (let repeat = 0; repeat < BATCH_REPEATS; repeat += 1) {
    for (const way of ['singles', 'atOnce', 'batch'] as const) {
      const texts = Array.from({ length: BATCH }, () => shortText(seed()));
      const { ms } = await timed<unknown>(nowMs, () => ways[way](texts));
      add(way, (BATCH / ms) * 1000, 'req/s');
    }
  }
}

/** The calls begin with the chat's stream and all of them are answered; the bench ends when one is not. */
async function measureChat({ target, classifier, numCalls, nowMs, add, seed }: Round): Promise<void> {
  const chat = () => timeStream(target, promptOf(20, seed()), CHAT_TOKENS, nowMs);
  const alone = (await chat()).itlMs;
  add('alone', quantile(alone, 0.95), 'ms');
  add('aloneLongest', Math.max(...alone), 'ms');
  const streamed = chat();
  const calls = Array.from({ length: numCalls }, () => classify(target, classifier, shortText(seed())));
  const callsEnd = Promise.all(calls).then(() => nowMs());
  const [timing, endMs] = await Promise.all([streamed, callsEnd]);
  const beside = gapsBefore(timing, endMs);
  add('beside', quantile(beside, 0.95), 'ms');
  add('besideLongest', Math.max(...beside), 'ms');
}

/**
 * The times between tokens that began before `endMs`: what comes after the last call was answered is a chat alone again.
 * All of them when none did, so that a chat that was over before is not without a figure.
 */
export function gapsBefore({ firstMs, itlMs }: Pick<StreamTiming, 'firstMs' | 'itlMs'>, endMs: number): number[] {
  let startMs = firstMs;
  const gaps = itlMs.filter((gapMs) => {
    const isBeside = startMs < endMs;
    startMs += gapMs;
    return isBeside;
  });
  return gaps.length === 0 ? [...itlMs] : gaps;
}
