/**
 * What a cold start consists of. A platform that has just been started is asked for one token, which is the whole; another
 * one is asked for one thing after the other, each of which needs a part more than the one before. Platforms take turns.
 */
import { type BenchSample, turnOrder } from '../samples.ts';

/** A platform that has answered nothing yet. */
export interface ColdPlatform {
  readonly url: URL;
  /** From nothing to a port that takes requests, by step. */
  readonly startMs: ReadonlyMap<string, number>;
  stop(): Promise<void>;
}

export interface StartSubject {
  readonly name: string;
  start(): Promise<ColdPlatform>;
}

/** One request. @throws when it is not answered as it should be */
export type Ask = (url: URL) => Promise<void>;

export interface StartRequests {
  /** A chat of one token; each has another question, so that none finds the pages of one before it. */
  readonly chat: Ask;
  /** Needs the gateway's script and nothing else. */
  readonly models: Ask;
  /** Needs the tokenizer, and the first layers of the head. */
  readonly embedding: Ask;
}

export interface StartOptions {
  readonly subjects: readonly StartSubject[];
  readonly requests: StartRequests;
  readonly rounds: number;
  readonly nowMs: () => number;
  readonly onRound: (done: number, total: number) => void;
}

/** Scenarios, in the order in which they are measured. */
export const WHOLE = 'first chat, alone';
export const PARTS = {
  models: '… gateway: script',
  embedding: '… gateway: tokenizer; head: script, weights',
  chat: '… other stages, links, first step',
} as const;
export const WARM = 'second chat';

export async function benchStart(options: StartOptions): Promise<BenchSample[]> {
  const { subjects, rounds, onRound } = options;
  const samples: BenchSample[] = [];
  let done = 0;
  for (let round = 0; round < rounds; round++) {
    for (const subject of turnOrder(subjects, round)) {
      const add = (scenario: string, value: number): void => {
        samples.push({ target: subject.name, round, scenario, value, unit: 'ms' });
      };
      await measureWhole(subject, options, add);
      await measureParts(subject, options, add);
      done += 1;
      onRound(done, rounds * subjects.length);
    }
  }
  return samples;
}

type Add = (scenario: string, value: number) => void;

async function measureWhole(subject: StartSubject, { requests, nowMs }: StartOptions, add: Add): Promise<void> {
  const platform = await subject.start();
  try {
    for (const [step, ms] of platform.startMs) {
      add(step, ms);
    }
    add(WHOLE, await timed(requests.chat, platform.url, nowMs));
    add(WARM, await timed(requests.chat, platform.url, nowMs));
  } finally {
    await platform.stop();
  }
}

async function measureParts(subject: StartSubject, { requests, nowMs }: StartOptions, add: Add): Promise<void> {
  const platform = await subject.start();
  try {
    for (const part of ['models', 'embedding', 'chat'] as const) {
      add(PARTS[part], await timed(requests[part], platform.url, nowMs));
    }
  } finally {
    await platform.stop();
  }
}

async function timed(ask: Ask, url: URL, nowMs: () => number): Promise<number> {
  const startMs = nowMs();
  await ask(url);
  return nowMs() - startMs;
}
