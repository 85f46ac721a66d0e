import { describe, expect, it } from 'vitest';
import { PAGE_SIZE_TOKENS } from '../../../wasm/host/stage-runtime.ts';
import { PageHashChain } from '../../kv/page-hash-chain.ts';
import { PAGE_EDIT_KEYS_MAX, TENANT_PAGES_EDIT_MAX } from '../../link/ring-protocol.ts';
import type { LocalEngine, LocalEngineOptions } from '../../platform/local/local-engine.ts';
import { MemoryPageStore } from '../../platform/memory-page-store.ts';
import { systemClock } from '../../platform/system.ts';
import { collect, collectAnswer, pollStats, promptOf, requestOf, tinyRings, tokensOf } from '../../test/tiny-ring.ts';
import { REQUEST_LIMITS } from '../limits.ts';
import type { WarmPrefixRequest } from '../prefix-protocol.ts';
import type { GenerateEvent } from '../protocol.ts';

const rings = await tinyRings();

const PREFIX = promptOf(70);
const NUM_PAGES = Math.floor(PREFIX.length / PAGE_SIZE_TOKENS);
const WARM: WarmPrefixRequest = { requestId: 'warm', tokens: PREFIX, cacheSalt: 'tenant', ttlMs: 60_000 };

const chain = new PageHashChain('tenant');
const KEYS = Array.from({ length: NUM_PAGES }, (_, i) => chain.key(PREFIX, i));

const open = (options: Partial<LocalEngineOptions> = {}): Promise<LocalEngine> =>
  rings.open({ stageCount: 2, timings: { saveDelayMs: 0 }, ...options });

const finishOf = (events: readonly GenerateEvent[]): GenerateEvent | undefined => events.at(-1);
const question = requestOf({ promptTokens: [...PREFIX, 9, 8, 7], cacheSalt: 'tenant' });

describe('a prefix that is warmed', () => {
  it('is computed, stored by every stage, and found', async () => {
    const { engine, pageStores } = await open();
    const before = systemClock.nowMs();
    const warmed = await engine.warmPrefix(WARM);
    expect(warmed).toMatchObject({ ok: true, value: { numTokens: 70, cachedTokens: 0, numPages: NUM_PAGES } });
    expect(warmed.ok && warmed.value.expiresAtMs).toBeGreaterThanOrEqual(before + WARM.ttlMs);
    expect(pageStores.map((store) => KEYS.every((key) => store.has(key)))).toEqual([true, true]);
    const cachedTokens = NUM_PAGES * PAGE_SIZE_TOKENS;
    expect(finishOf(await collect(engine, question))).toMatchObject({ cachedTokens });
    expect(await engine.stats()).toMatchObject({ numRunning: 0, numWaiting: 0 });
  });

  it('again is stored again where it was lost, and computed only where it must be', async () => {
    const { engine, pageStores } = await open();
    await engine.warmPrefix(WARM);
    pageStores[1]?.delete(KEYS.slice(1, 2));
    const again = await engine.warmPrefix(WARM);
    expect(again).toMatchObject({ ok: true, value: { cachedTokens: NUM_PAGES * PAGE_SIZE_TOKENS } });
    expect(KEYS.map((key) => pageStores[1]?.has(key))).toEqual(KEYS.map(() => true));
  });

  it('outlives in memory what was used after it', async () => {
    const { engine } = await open({ contextLengthMax: 112, numPages: 12 });
    await engine.warmPrefix(WARM);
    let salt = 0;
    const useOthers = async (): Promise<void> => {
      for (let i = 0; i < 4; i++) {
        await collect(engine, requestOf({ promptTokens: promptOf(90, ++salt), maxTokens: 1 }));
      }
    };
    await useOthers();
    expect(finishOf(await collect(engine, question))).toMatchObject({ cachedTokens: NUM_PAGES * PAGE_SIZE_TOKENS });
    expect((await engine.stats()).numRestoredPagesTotal).toBe(0);
    expect(await engine.unpinPrefix({ tokens: PREFIX, cacheSalt: 'tenant' })).toEqual({ ok: true, value: null });
    await useOthers();
    await collect(engine, question);
    expect((await engine.stats()).numRestoredPagesTotal).toBe(NUM_PAGES);
  });

  it('stays in the stores when their budget is spent, until it is let go', async () => {
    const pageStores = [0, 1].map(() => new MemoryPageStore({ clock: systemClock, bytesMax: 40_000 }));
    const { engine } = await open({ pageStores });
    const fill = async (): Promise<void> => {
      for (let salt = 1; salt <= 8; salt++) {
        await collect(engine, requestOf({ promptTokens: promptOf(200, salt), maxTokens: 1 }));
      }
    };
    const isStored = (): boolean[] => pageStores.map((store) => KEYS.every((key) => store.has(key)));
    await engine.warmPrefix(WARM);
    await fill();
    expect(isStored()).toEqual([true, true]);
    await engine.unpinPrefix(WARM);
    await fill();
    expect(isStored()).toEqual([false, false]);
  });

  it('of less than a page keeps nothing', async () => {
    const { engine } = await open();
    const warmed = await engine.warmPrefix({ ...WARM, tokens: PREFIX.slice(0, PAGE_SIZE_TOKENS - 1) });
    expect(warmed).toMatchObject({ ok: true, value: { numTokens: PAGE_SIZE_TOKENS - 1, numPages: 0 } });
  });

  it('is refused when it cannot be right', async () => {
    const { engine } = await open({ contextLengthMax: 64 });
    expect(await engine.warmPrefix({ ...WARM, tokens: [] })).toMatchObject({ error: { code: 'invalid_request' } });
    expect(await engine.warmPrefix(WARM)).toMatchObject({ error: { code: 'prompt_too_long' } });
    const warm = (ttlMs: number): ReturnType<typeof engine.warmPrefix> =>
      engine.warmPrefix({ ...WARM, tokens: PREFIX.slice(0, 20), ttlMs });
    expect(await warm(REQUEST_LIMITS.prefixTtlMsMax)).toMatchObject({ ok: true });
    for (const ttlMs of [REQUEST_LIMITS.prefixTtlMsMax + 1, 0, 1.5]) {
      expect(await warm(ttlMs)).toMatchObject({ error: { code: 'invalid_request', retryable: false } });
    }
  });

  it('is an error when its tenant is deleted meanwhile, however busy the ring is with others', async () => {
    const { engine } = await open({ numTokensMax: 32 });
    const other = (await engine.generate(requestOf({ maxTokens: 4000 }))).getReader();
    const reading = (async () => {
      while (!(await other.read()).done) {
        // Keeps the loop going.
      }
    })();
    await pollStats(engine, (stats) => stats.numGeneratedTokensTotal > 5);
    const warming = engine.warmPrefix(WARM);
    await pollStats(engine, ({ numRunning }) => numRunning === 2);
    expect(await engine.deleteTenant('tenant')).toMatchObject({ ok: true });
    const warmed = await warming;
    expect(warmed).toMatchObject({ ok: false, error: { code: 'ring_failed', retryable: true } });
    expect((await engine.stats()).numRunning).toBe(1);
    await other.cancel();
    await reading;
  });

  it('is let go up to as many pages as stages are told of at a time', async () => {
    const { engine } = await open();
    const unpin = (numPages: number): ReturnType<typeof engine.unpinPrefix> =>
      engine.unpinPrefix({ tokens: Array.from({ length: numPages * PAGE_SIZE_TOKENS }, () => 5), cacheSalt: '' });
    expect(await unpin(PAGE_EDIT_KEYS_MAX)).toMatchObject({ ok: true });
    expect(await unpin(PAGE_EDIT_KEYS_MAX + 1)).toMatchObject({ error: { code: 'prompt_too_long', retryable: false } });
  });

  it('is an error when the ring fails', async () => {
    const { engine } = await open({
      limits: { reopenDelayMs: 1, reopenDelayMsMax: 1 },
      wrapLink: (link) => {
        link.close('cut by the test');
        return link;
      },
    });
    expect(await engine.warmPrefix(WARM)).toMatchObject({ ok: false, error: { code: 'ring_failed', retryable: true } });
  });
});

describe('a tenant that is deleted', () => {
  it('leaves no page in memory and in the stores, and others keep theirs', async () => {
    const { engine, pageStores } = await open();
    await engine.warmPrefix(WARM);
    await engine.warmPrefix({ ...WARM, cacheSalt: 'other' });
    expect(await engine.deleteTenant('tenant')).toEqual({ ok: true, value: null });
    expect(KEYS.some((key) => pageStores.some((store) => store.has(key)))).toBe(false);
    const other = await collect(engine, { ...question, cacheSalt: 'other' });
    expect(finishOf(other)).toMatchObject({ cachedTokens: NUM_PAGES * PAGE_SIZE_TOKENS });
    expect(finishOf(await collect(engine, question))).toMatchObject({ cachedTokens: 0 });
  });

  it.each([TENANT_PAGES_EDIT_MAX, TENANT_PAGES_EDIT_MAX + 1])('has its %i pages deleted in parts', async (numPages) => {
    const { engine, ring, pageStores } = await open();
    const { tenant } = chain.key(promptOf(PAGE_SIZE_TOKENS), 0);
    const keys = Array.from({ length: numPages }, (_, i) => ({ tenant, hash: `${i}` }));
    pageStores.forEach((store) => keys.forEach((key) => store.write(key, new Uint8Array(1))));
    const numLeft: number[] = [];
    const editPages = ring.editPages.bind(ring);
    ring.editPages = async (edit) => {
      const edited = await editPages(edit);
      numLeft.push(...pageStores.map((store) => keys.filter((key) => store.has(key)).length));
      return edited;
    };
    expect(await engine.deleteTenant('tenant')).toEqual({ ok: true, value: null });
    const parts = numPages > TENANT_PAGES_EDIT_MAX ? [1, 0] : [0];
    expect(numLeft).toEqual(parts.flatMap((left) => pageStores.map(() => left)));
  });

  it('is told when there is no end to its pages', async () => {
    const { engine, ring } = await open();
    ring.editPages = () => Promise.resolve({ ok: true, value: { isMoreLeft: true } });
    expect(await engine.deleteTenant('tenant')).toMatchObject({ error: { code: 'ring_failed', retryable: true } });
  });

  it('keeps its streams, which leave nothing behind', async () => {
    const { engine, pageStores } = await open({ stageCount: 3, stepsInFlightMax: 3, numTokensMax: 32 });
    const expected = await collectAnswer((await open()).engine, { ...question, maxTokens: 120 });
    const answer = collectAnswer(engine, { ...question, maxTokens: 120 });
    await pollStats(engine, (stats) => stats.numGeneratedTokensTotal > 20);
    expect(await engine.deleteTenant('tenant')).toEqual({ ok: true, value: null });
    expect(await answer).toEqual(expected);
    const done = requestOf({ cacheSalt: 'other', promptTokens: promptOf(40, 3) });
    await collect(engine, done);
    await pollStats(engine, (stats) => stats.numFreePages === stats.numPages);
    const tokens = [...question.promptTokens, ...tokensOf(expected)];
    const keys = Array.from({ length: Math.floor(tokens.length / PAGE_SIZE_TOKENS) }, (_, i) => chain.key(tokens, i));
    expect(keys.some((key) => pageStores.some((store) => store.has(key)))).toBe(false);
    // Three pages: 52 tokens, of which the last was not computed.
    expect((await engine.stats()).numCachedPages).toBe(3);
  });

  it('is told when a stage does not answer', async () => {
    const { engine, ring } = await open();
    ring.editPages = () =>
      Promise.resolve({ ok: false, error: { code: 'link', retryable: true, message: 'stage 1 cannot be reached' } });
    expect(await engine.deleteTenant('tenant')).toMatchObject({ error: { code: 'ring_failed', retryable: true } });
  });

  it('is told when the ring breaks under steps that may have saved', async () => {
    const { engine, ring } = await open({ limits: { reopenDelayMs: 1 } });
    const answer = collect(engine, question);
    await pollStats(engine, (stats) => stats.numGeneratedTokensTotal > 2);
    const submit = ring.submit.bind(ring);
    // The step is sent; then the ring breaks.
    const deleted = new Promise<unknown>((resolve) => {
      ring.submit = (step) => {
        ring.submit = submit;
        const outcome = submit(step);
        resolve(Promise.resolve().then(() => engine.deleteTenant('tenant')));
        void Promise.resolve().then(() => ring.close('cut by the test'));
        return outcome;
      };
    });
    expect(await deleted).toMatchObject({ error: { code: 'ring_failed', retryable: true } });
    expect(finishOf(await answer)).toMatchObject({ type: 'finish' });
    expect(await engine.deleteTenant('tenant')).toEqual({ ok: true, value: null });
  });
});

describe('a replica that is drained', () => {
  it('finishes what it has, refuses what is new, and takes requests again', async () => {
    const { engine } = await open({ limits: { sequencesRunningMax: 1 } });
    const running = [collect(engine, question), collect(engine, question)];
    await pollStats(engine, ({ numRunning, numWaiting }) => numRunning === 1 && numWaiting === 1);
    await engine.drain();
    expect(await collect(engine, question)).toMatchObject([{ type: 'error', code: 'draining', retryable: true }]);
    expect(await engine.warmPrefix(WARM)).toMatchObject({ error: { code: 'draining', retryable: true } });
    expect((await engine.stats()).isDraining).toBe(true);
    for (const events of await Promise.all(running)) {
      expect(finishOf(events)).toMatchObject({ type: 'finish' });
    }
    await engine.resume();
    expect(finishOf(await collect(engine, question))).toMatchObject({ type: 'finish' });
  });
});
