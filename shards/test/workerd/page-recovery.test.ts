/** Pages that outlive their isolates: what a ring of objects has computed once it finds again, whatever happened to it. */
import { evictDurableObject, runInDurableObject } from 'cloudflare:test';
import { describe, expect, it } from 'vitest';
import type { GenerateEvent } from '../../engine/protocol.ts';
import { generate, headOf, REQUEST, shardOf, tokensOf } from './ring-client.ts';

const STAGE_COUNT = 3;
const STAGES = [0, 1, 2] as const;
/** Full pages of the prompt. */
const CACHED_TOKENS = 48;

const cachedTokensOf = (events: readonly GenerateEvent[]): number | null => {
  const last = events.at(-1);
  return last?.type === 'finish' ? last.cachedTokens : null;
};

const expected = tokensOf(await generate(headOf('undisturbed', 1)));

/** Runs inside of a stage's object. */
function inStorageOf<T>(replica: string, stageIndex: number, use: (kv: SyncKvStorage) => T): Promise<T> {
  return runInDurableObject(shardOf(replica, stageIndex, STAGE_COUNT), (_instance, { storage }) => use(storage.kv));
}

const rowsOf = (replica: string): Promise<number[]> =>
  Promise.all(STAGES.map((stageIndex) => inStorageOf(replica, stageIndex, (kv) => [...kv.list()].length)));

describe('pages', () => {
  it.each([
    ['the head', [0]],
    ['a later stage', [1]],
    ['the last stage', [2]],
    ['every stage', [0, 1, 2]],
  ] as const)('outlive the eviction of %s with its memory', async (_name, lost) => {
    const replica = `evicted-${lost.join('-')}`;
    const head = headOf(replica, STAGE_COUNT);
    expect(tokensOf(await generate(head))).toEqual(expected);
    for (const stageIndex of lost) {
      const shard = shardOf(replica, stageIndex, STAGE_COUNT);
      await shard.loseMemory();
      await evictDurableObject(shard, { webSockets: 'close' });
    }
    const again = await generate(head);
    expect(tokensOf(again)).toEqual(expected);
    expect(cachedTokensOf(again)).toBe(CACHED_TOKENS);
  });

  it.each([
    [
      'a flipped bit',
      (kv: SyncKvStorage, key: string, part: Uint8Array) => kv.put(key, part.with(99, 1 ^ (part[99] ?? 0))),
    ],
    ['a missing row', (kv: SyncKvStorage, key: string) => void kv.delete(key)],
  ] as const)('that a stage has lost by %s are computed again', async (name, damage) => {
    for (const stageIndex of STAGES) {
      const replica = `damaged ${name} ${stageIndex}`;
      const head = headOf(replica, STAGE_COUNT);
      await generate(head);
      await inStorageOf(replica, stageIndex, (kv) => {
        const rows = [...kv.list<Uint8Array>({ prefix: 'page-part/' })];
        for (const [key, part] of rows) {
          damage(kv, key, part);
        }
      });
      for (const index of STAGES) {
        const shard = shardOf(replica, index, STAGE_COUNT);
        await shard.loseMemory();
        await evictDurableObject(shard, { webSockets: 'close' });
      }
      expect(tokensOf(await generate(head))).toEqual(expected);
    }
  });

  it('of a deleted tenant leave no row on any stage', async () => {
    const head = headOf('deleted', STAGE_COUNT);
    await generate(head, { ...REQUEST, cacheSalt: 'mine' });
    const mine = await rowsOf('deleted');
    expect(Math.min(...mine)).toBeGreaterThan(0);
    await generate(head, { ...REQUEST, cacheSalt: 'theirs' });
    expect(await head.deleteTenant('theirs')).toEqual({ ok: true, value: null });
    expect(await rowsOf('deleted')).toEqual(mine);
    expect(await head.deleteTenant('mine')).toEqual({ ok: true, value: null });
    expect(await rowsOf('deleted')).toEqual([0, 0, 0]);
  });

  it('of a prefix are kept for it by every stage', async () => {
    const head = headOf('warmed', STAGE_COUNT);
    const prefix = { tokens: REQUEST.promptTokens, cacheSalt: 'mine' };
    const warmed = await head.warmPrefix({ ...prefix, requestId: 'warm', ttlMs: 60_000 });
    expect(warmed).toMatchObject({ ok: true, value: { numPages: 3, numTokens: 50, cachedTokens: 0 } });
    const pinnedOf = (): Promise<number[]> =>
      Promise.all(
        STAGES.map((stageIndex) =>
          inStorageOf(
            'warmed',
            stageIndex,
            (kv) =>
              [...kv.list<number[]>({ prefix: 'page-index/' })].filter(([, row]) => (row[3] ?? 0) > Date.now()).length,
          ),
        ),
      );
    expect(await pinnedOf()).toEqual([3, 3, 3]);
    expect(await head.unpinPrefix(prefix)).toEqual({ ok: true, value: null });
    expect(await pinnedOf()).toEqual([0, 0, 0]);
  });
});

describe('a stream', () => {
  it.each([1, 2])('goes on with the same tokens when stage %i is aborted in the middle', async (stageIndex) => {
    const request = { ...REQUEST, maxTokens: 150 };
    const whole = tokensOf(await generate(headOf('undisturbed', 1), request));
    const replica = `aborted-${stageIndex}`;
    const stream = await headOf(replica, STAGE_COUNT).generate(request);
    const reader = stream.pipeThrough(new TextDecoderStream()).getReader();
    let text = '';
    let isAborted = false;
    for (;;) {
      const { done, value } = await reader.read();
      if (done) {
        break;
      }
      text += value;
      if (!isAborted && text.includes('"token"')) {
        isAborted = true;
        await shardOf(replica, stageIndex, STAGE_COUNT).abortSoon();
      }
    }
    const events = text
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line) as GenerateEvent);
    expect(isAborted).toBe(true);
    expect(tokensOf(events)).toEqual(whole);
    expect(whole).toHaveLength(150);
  });
});
