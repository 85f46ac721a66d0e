/** The ring as Durable Objects: weights from static assets, links as WebSockets, eviction between requests. */
import { evictDurableObject } from 'cloudflare:test';
import { describe, expect, it } from 'vitest';
import { generate, headOf, pollStats, REQUEST, shardOf, tokensOf } from './ring-client.ts';

describe('a ring of Durable Objects', () => {
  it('loads its weights from assets and answers', async () => {
    const events = await generate(headOf('single', 1));
    expect(tokensOf(events)).toHaveLength(24);
    expect(events.at(-1)).toMatchObject({ type: 'finish', reason: 'length', promptTokens: 50, completionTokens: 24 });
  });

  it.each([2, 3, 5])('answers the same, to the last bit, with %i stages', async (stageCount) => {
    const expected = await generate(headOf('single', 1));
    expect(tokensOf(await generate(headOf('split', stageCount)))).toEqual(tokensOf(expected));
  });

  it.each([1, 3])('comes back after its head was evicted (%i stages)', async (stageCount) => {
    const head = headOf('evicted', stageCount);
    const before = await generate(head);
    await evictDurableObject(head);
    const after = await generate(head);
    expect(tokensOf(before)).toHaveLength(24);
    expect(tokensOf(after)).toEqual(tokensOf(before));
  });

  it('comes back after a later stage was evicted', async () => {
    const head = headOf('middle', 3);
    const before = await generate(head);
    await evictDurableObject(shardOf('middle', 1, 3), { webSockets: 'close' });
    expect(tokensOf(await generate(head))).toEqual(tokensOf(before));
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
    expect(tokensOf(answers[6] ?? [])).toEqual(tokensOf(alone));
    expect(new Set(answers.map((events) => JSON.stringify(tokensOf(events)))).size).toBeGreaterThan(1);
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
