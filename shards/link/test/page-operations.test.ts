/** Pages that are copied, saved and restored by the stages of a ring, between its steps. */
import { describe, expect, it } from 'vitest';
import { ManualClock } from '../../../ops/testing/manual-clock.ts';
import { KV_FORMAT_VERSION } from '../../../wasm/host/kv-format.ts';
import { PAGE_SIZE_TOKENS, type StageRuntime } from '../../../wasm/host/stage-runtime.ts';
import type { PageKey } from '../../kv/page-key.ts';
import type { LocalEngine } from '../../platform/local/local-engine.ts';
import { MemoryPageStore } from '../../platform/memory-page-store.ts';
import type { PageStore } from '../../platform/page-store.ts';
import { systemClock } from '../../platform/system.ts';
import { promptOf, tinyRings } from '../../test/tiny-ring.ts';
import { crc32 } from '../crc32.ts';
import { PAGE_OPERATIONS_MAX, type PageOperation } from '../page-operation.ts';
import { PageOperator } from '../page-operator.ts';
import type { RingStep, StepResult } from '../ring-step.ts';

const rings = await tinyRings();
const STAGE_COUNTS = [1, 3] as const;

const keyOf = (digit: string): PageKey => ({ tenant: 'a'.repeat(32), hash: digit.repeat(32) });

async function openRing(stageCount: number): Promise<LocalEngine> {
  const local = await rings.open({ stageCount });
  expect(await local.ring.open()).toMatchObject({ ok: true });
  return local;
}

async function run({ ring }: LocalEngine, step: Partial<RingStep>): Promise<StepResult> {
  const result = await ring.submit({ pageOperations: [], sequences: [], tokenIds: [], ...step });
  if (!result.ok) {
    throw new Error(result.error.message);
  }
  return result.value;
}

/** Computes a page full of tokens into `page`, and wants the last row. */
const fill = (page: number, salt: number): Partial<RingStep> => ({
  tokenIds: promptOf(PAGE_SIZE_TOKENS, salt),
  sequences: [
    {
      sequenceId: salt,
      startPosition: 0,
      numTokens: PAGE_SIZE_TOKENS,
      pageTable: [page],
      resultRows: [PAGE_SIZE_TOKENS - 1],
    },
  ],
});

/** The row of a token that follows the page; it needs the keys and values of the whole page. */
const follow = (page: number): Partial<RingStep> => ({
  tokenIds: [9],
  sequences: [{ sequenceId: 1, startPosition: PAGE_SIZE_TOKENS, numTokens: 1, pageTable: [page, 30], resultRows: [0] }],
});

const only = (...pageOperations: PageOperation[]): Partial<RingStep> => ({ pageOperations });

describe.each(STAGE_COUNTS)('in a ring of %i', (stageCount) => {
  it('a page is restored to what it was when it was saved, in another place', async () => {
    const local = await openRing(stageCount);
    await run(local, fill(2, 1));
    const { rows } = await run(local, follow(2));
    await run(local, only({ kind: 'save', page: 2, key: keyOf('1') }));
    await run(local, fill(2, 2));
    expect((await run(local, follow(2))).rows).not.toEqual(rows);
    expect(local.ring.hasStored(keyOf('1'))).toBe(true);
    const restore = only({ kind: 'restore', page: 5, key: keyOf('1') });
    expect(await run(local, { ...restore, ...follow(5) })).toEqual({ rows, missing: [] });
  });

  it('a page is saved with what it held before the step that saves it', async () => {
    const local = await openRing(stageCount);
    await run(local, fill(2, 1));
    const { rows } = await run(local, follow(2));
    await run(local, { ...only({ kind: 'save', page: 2, key: keyOf('1') }), ...fill(2, 2) });
    await run(local, only({ kind: 'restore', page: 2, key: keyOf('1') }));
    expect((await run(local, follow(2))).rows).toEqual(rows);
  });

  it('what a step saves can be restored by the same step, and copied on', async () => {
    const local = await openRing(stageCount);
    await run(local, fill(2, 1));
    const { rows } = await run(local, follow(2));
    const result = await run(local, {
      ...only(
        { kind: 'save', page: 2, key: keyOf('1') },
        { kind: 'copy', page: 2, sourcePage: 9 },
        { kind: 'restore', page: 3, key: keyOf('1') },
        { kind: 'copy', page: 4, sourcePage: 3 },
      ),
      ...follow(4),
    });
    expect(result).toEqual({ rows, missing: [] });
    expect((await run(local, follow(2))).rows).not.toEqual(rows);
  });

  it('a page that any stage lacks is missing', async () => {
    for (let lacking = 0; lacking < stageCount; lacking++) {
      const local = await openRing(stageCount);
      await run(local, fill(2, 1));
      await run(local, only({ kind: 'save', page: 2, key: keyOf('1') }, { kind: 'save', page: 2, key: keyOf('2') }));
      await run(local, only({ kind: 'copy', page: 3, sourcePage: 2 }));
      // An edit of nothing writes what waits.
      await local.ring.editPages({ kind: 'delete', keys: [] });
      local.pageStores[lacking]?.delete([keyOf('1')]);
      const restores = only(
        { kind: 'restore', page: 4, key: keyOf('2') },
        { kind: 'restore', page: 3, key: keyOf('1') },
        { kind: 'restore', page: 5, key: keyOf('3') },
      );
      expect((await run(local, { ...restores, ...follow(4) })).missing).toEqual([1, 2]);
      expect(local.ring.hasStored(keyOf('1'))).toBe(lacking !== 0);
    }
  });

  it('edits reach every store, also what was saved a moment before', async () => {
    const local = await openRing(stageCount);
    await run(local, fill(2, 1));
    const saved = local.ring.submit({
      sequences: [],
      tokenIds: [],
      pageOperations: [{ kind: 'save', page: 2, key: keyOf('1') }],
    });
    await saved;
    expect(await local.ring.editPages({ kind: 'deleteTenant', tenant: keyOf('1').tenant })).toEqual({
      ok: true,
      value: { isMoreLeft: false },
    });
    await systemClock.yieldToEvents();
    expect(local.pageStores.map((store) => (store as MemoryPageStore).numPages)).toEqual(local.pageStores.map(() => 0));
  });

  it('so many operations go in one step, and no more', async () => {
    const local = await openRing(stageCount);
    const copies = (count: number): PageOperation[] =>
      Array.from({ length: count }, () => ({ kind: 'copy', page: 1, sourcePage: 2 }));
    expect((await run(local, only(...copies(PAGE_OPERATIONS_MAX)))).missing).toEqual([]);
    const tooMany = { sequences: [], tokenIds: [], pageOperations: copies(PAGE_OPERATIONS_MAX + 1) };
    expect(() => local.ring.submit(tooMany)).toThrow('at most');
    expect(() => local.ring.submit({ ...tooMany, pageOperations: [] })).toThrow('anything to do');
  });
});

it('an edit of a stage that cannot be reached fails, for it to be tried again', async () => {
  const local = await openRing(2);
  Object.assign(local.stages[0] as object, { editPages: () => Promise.reject(new Error('no route')) });
  const result = await local.ring.editPages({ kind: 'delete', keys: [keyOf('1')] });
  expect(result).toMatchObject({ ok: false, error: { code: 'link', retryable: true } });
});

it('an edit that the disk of the head has no room for fails, for it to be tried again', async () => {
  const local = await openRing(2);
  const pin = (): never => {
    throw new Error('database or disk is full');
  };
  Object.assign(local.pageStores[0] as object, { pin });
  const result = await local.ring.editPages({ kind: 'pin', keys: [keyOf('1')], untilMs: 1 });
  expect(result).toMatchObject({ ok: false, error: { retryable: true } });
});

describe('pages that wait to be written', () => {
  const page = new Uint8Array(100);
  const pages = { pageBytes: page.length, read: (_: number, into: Uint8Array) => into.set(page) };
  const runtime = { pages } as unknown as StageRuntime;
  const save = (digit: string): PageOperation => ({ kind: 'save', page: 0, key: keyOf(digit) });

  const digitsIn = (store: PageStore): string[] => ['1', '2', '3'].filter((digit) => store.has(keyOf(digit)));

  it('fill a buffer; those that fill it are written before there is one more', () => {
    const store: PageStore = new MemoryPageStore({ clock: systemClock });
    const operator = new PageOperator(store, new ManualClock(), 500, 200);
    page.fill(1);
    operator.run(runtime, [save('1'), save('2')]);
    expect(digitsIn(store)).toEqual([]);
    page.fill(2);
    operator.run(runtime, [save('3')]);
    expect(digitsIn(store)).toEqual(['1', '2']);
    page.fill(3);
    operator.flush();
    const into = new Uint8Array(100);
    for (const [digit, value] of [
      ['1', 1],
      ['2', 1],
      ['3', 2],
    ] as const) {
      expect(store.read(keyOf(digit), into)).toBe(true);
      expect(into[99]).toBe(value);
    }
  });

  it('are written together, after a while', async () => {
    const clock = new ManualClock();
    const store: PageStore = new MemoryPageStore({ clock });
    const operator = new PageOperator(store, clock, 500, 1000);
    operator.run(runtime, [save('1')]);
    await clock.wind(499);
    operator.run(runtime, [save('2')]);
    expect([digitsIn(store), clock.numTimers]).toEqual([[], 1]);
    await clock.wind(1);
    expect([digitsIn(store), clock.numTimers]).toEqual([['1', '2'], 0]);
  });

  it('are written when the step has gone on, once they take half of the room', async () => {
    const clock = new ManualClock();
    const store: PageStore = new MemoryPageStore({ clock });
    const operator = new PageOperator(store, clock, 500, 400);
    operator.run(runtime, [save('1'), save('2')]);
    await clock.yieldToEvents();
    expect(digitsIn(store)).toEqual([]);
    operator.run(runtime, [save('3')]);
    expect(digitsIn(store)).toEqual([]);
    await clock.yieldToEvents();
    expect([digitsIn(store), clock.numTimers]).toEqual([['1', '2', '3'], 0]);
  });

  it('can be restored before they are written', () => {
    const store: PageStore = new MemoryPageStore({ clock: systemClock });
    const operator = new PageOperator(store, new ManualClock(), 500, 400);
    const written: number[] = [];
    Object.assign(pages, { write: (_: number, bytes: Uint8Array) => written.push(bytes[99] as number) });
    page.fill(7);
    operator.run(runtime, [save('1')]);
    page.fill(8);
    expect(operator.has(keyOf('1'))).toBe(true);
    expect(operator.run(runtime, [{ kind: 'restore', page: 0, key: keyOf('1') }])).toEqual([]);
    expect(written).toEqual([7]);
  });
});

it('a page has the bytes that its format stands for', async () => {
  const local = await openRing(1);
  await run(local, fill(2, 1));
  const runtime = local.headHost.leaseOf('local')?.runtime as StageRuntime;
  const page = new Uint8Array(runtime.pages.pageBytes);
  runtime.pages.read(2, page);
  const formats = { [1]: 925_701_933, [2]: 2_121_500_453, [3]: 1_605_015_864 };
  // Another checksum here is another format: raise `KV_FORMAT_VERSION` and add a line, or stored pages pass for new ones.
  expect(formats).toEqual({ ...formats, [KV_FORMAT_VERSION]: crc32(page) });
});
