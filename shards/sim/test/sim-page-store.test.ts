import { describe, expect, it } from 'vitest';
import type { Clock } from '../../platform/clock.ts';
import { systemClock } from '../../platform/system.ts';
import { keyOf, pageOf, pageStoreSuite, SUITE_LIMITS, SUITE_PAGE_BYTES } from '../../platform/test/page-store-suite.ts';
import { EventQueue } from '../event-queue.ts';
import { SimProcess } from '../process.ts';
import { Random } from '../random.ts';
import { SimPageStore } from '../sim-page-store.ts';
import { Trace } from '../trace.ts';

function createStore(clock?: Clock): { store: SimPageStore; flush: () => Promise<void> } {
  const events = new EventQueue({ trace: new Trace(), settle: () => systemClock.yieldToEvents() });
  const store = new SimPageStore({
    name: 'store',
    events,
    clock: clock ?? new SimProcess('store', events),
    random: new Random(3),
    bytesMax: 1000 * SUITE_PAGE_BYTES,
    ttlMs: SUITE_LIMITS.ttlMs,
    flushMs: 10,
  });
  const flush = (): Promise<void> =>
    events.run(
      events.nowMs + 1_000,
      () => false,
      () => {},
    );
  return { store, flush };
}

function held(store: SimPageStore, indices: readonly number[]): number[] {
  return indices.filter((index) => store.read(keyOf(index), new Uint8Array(SUITE_PAGE_BYTES)));
}

describe('SimPageStore', () => {
  it('shows a write at once and keeps it through a kill once it is durable', async () => {
    const { store, flush } = createStore();
    store.write(keyOf(1), pageOf(1));
    await flush();
    store.write(keyOf(2), pageOf(2));
    expect(held(store, [1, 2])).toEqual([1, 2]);
    store.crash(false);
    expect(held(store, [1, 2])).toEqual([1]);
    expect(store.keysOf(keyOf(1).tenant)).toEqual([keyOf(1)]);
  });

  it('damages the page whose write a kill interrupts, and keeps those before it', () => {
    const lengths = new Set<number>();
    for (let round = 0; round < 30; round++) {
      const { store } = createStore();
      for (let warmUp = 0; warmUp < round; warmUp++) {
        store.write(keyOf(0), pageOf(0));
        store.crash(true);
      }
      for (const index of [1, 2, 3, 4]) {
        store.write(keyOf(index), pageOf(index));
      }
      store.crash(true);
      const kept = held(store, [1, 2, 3, 4]);
      expect(kept).toEqual([1, 2, 3, 4].slice(0, kept.length));
      // What is damaged is there until it is read.
      expect([1, 2, 3, 4].filter((index) => store.has(keyOf(index)))).toHaveLength(kept.length + 1);
      lengths.add(kept.length);
    }
    expect(lengths.size).toBeGreaterThan(1);
  });

  it('loses what is written while it is full, and deletes as ever', () => {
    const { store } = createStore();
    store.write(keyOf(1), pageOf(1));
    store.isFull = true;
    store.write(keyOf(2), pageOf(2));
    expect(held(store, [1, 2])).toEqual([1]);
    store.deleteTenant(keyOf(1).tenant);
    store.crash(true);
    expect(store.keysOf(keyOf(1).tenant)).toEqual([]);
  });

  it('tells of the next write once', () => {
    const { store } = createStore();
    let numTold = 0;
    store.onNextWrite = () => numTold++;
    store.write(keyOf(1), pageOf(1));
    store.write(keyOf(2), pageOf(2));
    expect(numTold).toBe(1);
  });
});

pageStoreSuite(async (clock, use) => {
  const events = new EventQueue({ trace: new Trace(), settle: () => systemClock.yieldToEvents() });
  const store = new SimPageStore({
    name: 'store',
    events,
    clock,
    random: new Random(1),
    bytesMax: SUITE_LIMITS.bytesMax,
    ttlMs: SUITE_LIMITS.ttlMs,
    flushMs: 10,
  });
  await use({ store, settle: () => Promise.resolve() });
});
