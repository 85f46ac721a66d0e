/** What classification costs: against prefilling the same text, in a batch against one by one, and for a chat beside it. */
import { promptOf } from '../prompts.ts';
import type { BenchSample, Unit } from '../samples.ts';
import { quantile } from '../stats.ts';
import { timeStream, type Target } from '../streams.ts';
import { classify, prefillForChat, shortText } from './classify-client.ts';

export const SCENARIOS = {
  one: 'one text of 15 tokens',
  prefill: 'the same, prefilled for chat',
  singles: '64 texts one by one',
  batch: '64 texts in one call',
  alone: 'chat alone, between tokens, p95',
  beside: 'chat beside the calls, p95',
} as const;

const BATCH = 64;
/** Texts of each kind in a round: a median of a few is steadier than one. */
const REPEATS = 8;
const CHAT_TOKENS = 150;
const SEED_STEP = 1000;

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

export async function benchClassify(options: ClassifyBenchOptions): Promise<BenchSample[]> {
  const { target, rounds, onRound } = options;
  const samples: BenchSample[] = [];
  for (let round = 0; round < rounds; round += 1) {
    const add = (scenario: keyof typeof SCENARIOS, value: number, unit: Unit): void => {
      samples.push({ target: target.name, round, scenario: SCENARIOS[scenario], value, unit });
    };
    await measureOne(options, round, add);
    await measureBatch(options, round, add);
    await measureChat(options, round, add);
    onRound(round + 1);
  }
  return samples;
}

type Add = (scenario: keyof typeof SCENARIOS, value: number, unit: Unit) => void;

async function timed(nowMs: () => number, work: () => Promise<unknown>): Promise<number> {
  const startMs = nowMs();
  await work();
  return nowMs() - startMs;
}

/** Turn about, so that both see the same machine. */
async function measureOne({ target, classifier, nowMs }: ClassifyBenchOptions, round: number, add: Add): Promise<void> {
  for (let repeat = 0; repeat < REPEATS; repeat += 1) {
    const text = shortText(SEED_STEP * (round + 1) + repeat);
    add('one', await timed(nowMs, () => classify(target, classifier, text)), 'ms');
    add('prefill', await timed(nowMs, () => prefillForChat(target, text)), 'ms');
  }
}

async function measureBatch(
  { target, classifier, nowMs }: ClassifyBenchOptions,
  round: number,
  add: Add,
): Promise<void> {
  const texts = (part: number): string[] =>
    Array.from({ length: BATCH }, (_, index) => shortText(SEED_STEP * (round + 1) + part * BATCH + index));
  const singlesMs = await timed(nowMs, async () => {
    for (const text of texts(1)) {
      await classify(target, classifier, text);
    }
  });
  add('singles', (BATCH / singlesMs) * 1000, 'req/s');
  add('batch', (BATCH / (await timed(nowMs, () => classify(target, classifier, texts(2))))) * 1000, 'req/s');
}

/** The calls begin with the chat's stream and all of them are answered; those still under way at its end count as well. */
async function measureChat(options: ClassifyBenchOptions, round: number, add: Add): Promise<void> {
  const { target, classifier, numCalls, nowMs } = options;
  const chat = (seed: number) => timeStream(target, promptOf(20, seed), CHAT_TOKENS, nowMs);
  add('alone', quantile((await chat(SEED_STEP * (round + 1))).itlMs, 0.95), 'ms');
  const streamed = chat(SEED_STEP * (round + 1) + 1);
  const calls = Array.from({ length: numCalls }, (_, index) =>
    classify(target, classifier, shortText(SEED_STEP * (round + 1) + 3 * BATCH + index)),
  );
  const [{ itlMs }] = await Promise.all([streamed, ...calls]);
  add('beside', quantile(itlMs, 0.95), 'ms');
}
