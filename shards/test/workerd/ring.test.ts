/** The ring as Durable Objects: weights from static assets, links as WebSockets, eviction between requests. */
import { evictDurableObject } from 'cloudflare:test';
import { env } from 'cloudflare:workers';
import { describe, expect, it } from 'vitest';
import type { EngineStats, GenerateEvent, GenerateRequest } from '../../engine/protocol.ts';
import { shardName, type TestShard } from './ring-worker.ts';

const namespace = (env as unknown as { SHARD: DurableObjectNamespace<TestShard> }).SHARD;

function headOf(replica: string, stageCount: number): DurableObjectStub<TestShard> {
  return namespace.getByName(shardName(replica, 0, stageCount));
}

const REQUEST: GenerateRequest = {
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

/** All events but the first, whose load says nothing about the generation. */
async function generate(head: DurableObjectStub<TestShard>, request = REQUEST): Promise<GenerateEvent[]> {
  const stream = await head.generate(request);
  const text = await new Response(stream).text();
  return text
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as GenerateEvent)
    .filter(({ type }) => type !== 'accepted');
}

function tokensOf(events: readonly GenerateEvent[]): GenerateEvent[] {
  return events.filter(({ type }) => type === 'token');
}

describe('a ring of Durable Objects', () => {
  it('loads its weights from assets and answers', async () => {
    const events = await generate(headOf('single', 1));
    expect(tokensOf(events)).toHaveLength(24);
    expect(events.at(-1)).toMatchObject({ type: 'finish', reason: 'length', promptTokens: 50, completionTokens: 24 });
  });

  it.each([2, 3, 5])('answers the same, to the last bit, with %i stages', async (stageCount) => {
    const expected = await generate(headOf('single', 1));
    expect(await generate(headOf('split', stageCount))).toEqual(expected);
  });

  it.each([1, 3])('comes back after its head was evicted (%i stages)', async (stageCount) => {
    const head = headOf('evicted', stageCount);
    const before = await generate(head);
    await evictDurableObject(head);
    const after = await generate(head);
    expect(tokensOf(before)).toHaveLength(24);
    expect(after).toEqual(before);
  });

  it('comes back after a later stage was evicted', async () => {
    const head = headOf('middle', 3);
    const before = await generate(head);
    await evictDurableObject(namespace.getByName(shardName('middle', 1, 3)), { webSockets: 'close' });
    expect(await generate(head)).toEqual(before);
    expect(tokensOf(before)).toHaveLength(24);
  });

  it('drains until it is told otherwise, also after its head was evicted', async () => {
    const head = headOf('drained', 1);
    const expected = await generate(head);
    await head.drain();
    expect(await head.stats()).toMatchObject({ isDraining: true });
    await evictDurableObject(head);
    expect(await generate(head)).toMatchObject([{ type: 'error', code: 'draining', retryable: true }]);
    await head.resume();
    await evictDurableObject(head);
    // What it had computed before is still there; the tokens are the same.
    expect(tokensOf(await generate(head))).toEqual(tokensOf(expected));
  });

  it('answers requests that come at once', async () => {
    const head = headOf('batch', 3);
    const seeds = [1, 2, 3, 4, 5, 6, 7, 8];
    const answers = await Promise.all(
      seeds.map((seed) => generate(head, { ...REQUEST, sampling: { ...REQUEST.sampling, seed } })),
    );
    const alone = await generate(head);
    expect(answers[6]).toEqual(alone);
    expect(new Set(answers.map((events) => JSON.stringify(events))).size).toBeGreaterThan(1);
  });

  it('stops a sequence whose reader goes away, and has all pages back', async () => {
    const head = headOf('cancelled', 2);
    const stream = await head.generate({ ...REQUEST, maxTokens: 400 });
    const reader = stream.getReader();
    await reader.read();
    await reader.cancel();
    const stats = await pollStats(head, ({ numRunning }) => numRunning === 0);
    expect(stats.numFreePages).toBe(stats.numPages);
    expect(stats.numGeneratedTokensTotal).toBeLessThan(400);
  });
});

const POLL_MS = 10;
const POLLS_MAX = 1000;

/** Asks again until `isDone`. */
async function pollStats(
  head: DurableObjectStub<TestShard>,
  isDone: (stats: EngineStats) => boolean,
): Promise<EngineStats> {
  for (let attempt = 0; attempt < POLLS_MAX; attempt++) {
    const stats = await head.stats();
    if (isDone(stats)) {
      return stats;
    }
    await scheduler.wait(POLL_MS);
  }
  throw new Error('the condition did not come true');
}
