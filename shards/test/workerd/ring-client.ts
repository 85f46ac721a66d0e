/** What tests ask of rings of Durable Objects. */
import { env } from 'cloudflare:workers';
import type { EngineStats, GenerateEvent, GenerateRequest } from '../../engine/protocol.ts';
import { shardName, type TestShard } from './ring-worker.ts';

const namespace = (env as unknown as { SHARD: DurableObjectNamespace<TestShard> }).SHARD;

export function shardOf(replica: string, stageIndex: number, stageCount: number): DurableObjectStub<TestShard> {
  return namespace.getByName(shardName(replica, stageIndex, stageCount));
}

export function headOf(replica: string, stageCount: number): DurableObjectStub<TestShard> {
  return shardOf(replica, 0, stageCount);
}

export const REQUEST: GenerateRequest = {
  requestId: 'test',
  promptTokens: Array.from({ length: 50 }, (_, i) => 3 + ((i * 7) % 200)),
  emittedTokens: [],
  maxTokens: 24,
  sampling: {
    temperature: 0.8,
    topK: 0,
    topP: 0.95,
    minP: 0,
    repetitionPenalty: 1,
    presencePenalty: 0,
    frequencyPenalty: 0,
    logitBias: [],
    seed: 7,
  },
  stopTokenIds: [],
  numTopLogprobs: 0,
  numPromptLogprobs: null,
  cacheSalt: '',
};

/** All events but those that say something about the head, and nothing about the generation. */
export async function generate(head: DurableObjectStub<TestShard>, request = REQUEST): Promise<GenerateEvent[]> {
  const stream = await head.generate(request);
  const text = await new Response(stream).text();
  return text
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as GenerateEvent)
    .filter(({ type }) => type !== 'accepted' && type !== 'alive');
}

export function tokensOf(events: readonly GenerateEvent[]): GenerateEvent[] {
  return events.filter(({ type }) => type === 'token');
}

const POLL_MS = 10;
const POLLS_MAX = 1000;

/** Asks again until `isDone`. */
export async function until(isDone: () => Promise<boolean>): Promise<void> {
  for (let attempt = 0; attempt < POLLS_MAX; attempt++) {
    if (await isDone()) {
      return;
    }
    await scheduler.wait(POLL_MS);
  }
  throw new Error('the condition did not come true');
}

/** @returns the first counters that satisfy `isDone`. */
export async function pollStats(
  head: DurableObjectStub<TestShard>,
  isDone: (stats: EngineStats) => boolean,
): Promise<EngineStats> {
  let stats = await head.stats();
  await until(async () => isDone((stats = await head.stats())));
  return stats;
}
