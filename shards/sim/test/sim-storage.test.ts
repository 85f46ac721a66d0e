import { describe, expect, it } from 'vitest';
import { SqlitePageStore } from '../../platform/cloudflare/sqlite-page-store.ts';
import type { Clock } from '../../platform/clock.ts';
import { systemClock } from '../../platform/system.ts';
import {
  HandClock,
  keyOf,
  pageOf,
  pageStoreSuite,
  SUITE_LIMITS,
  SUITE_PAGE_BYTES,
} from '../../platform/test/page-store-suite.ts';
import { EventQueue } from '../event-queue.ts';
import { Random } from '../random.ts';
import { SimStorage } from '../sim-storage.ts';
import { Trace } from '../trace.ts';

function createStorage(seed = 3): { storage: SimStorage; flush: () => Promise<void>; alarms: number[] } {
  const events = new EventQueue({ trace: new Trace(), settle: () => systemClock.yieldToEvents() });
  const alarms: number[] = [];
  const storage = new SimStorage({
    name: 'storage',
    events,
    random: new Random(seed),
    flushMs: 10,
    onAlarm: () => alarms.push(events.nowMs),
  });
  const flush = (): Promise<void> =>
    events.run(
      events.nowMs + 1_000,
      () => false,
      () => {},
    );
  return { storage, flush, alarms };
}

/** As after a start: with nothing in memory. */
function openStore(storage: SimStorage, clock: Clock = new HandClock()): SqlitePageStore {
  const scope = { manifestSha256: 'ab', layerStart: 0, layerEnd: 1 };
  return new SqlitePageStore({ storage, clock, scope, limits: SUITE_LIMITS });
}

function held(storage: SimStorage, indices: readonly number[]): number[] {
  const store = openStore(storage);
  return indices.filter((index) => store.read(keyOf(index), new Uint8Array(SUITE_PAGE_BYTES)));
}

describe('SimStorage', () => {
  it('shows a write at once and keeps it through a kill once it is durable', async () => {
    const { storage, flush } = createStorage();
    openStore(storage).write(keyOf(1), pageOf(1));
    await flush();
    openStore(storage).write(keyOf(2), pageOf(2));
    expect(held(storage, [1, 2])).toEqual([1, 2]);
    storage.crash(false);
    expect(held(storage, [1, 2])).toEqual([1]);
  });

  it('keeps what a confirmed write comes after', () => {
    const { storage } = createStorage();
    openStore(storage).write(keyOf(1), pageOf(1));
    openStore(storage).pin([keyOf(1)], 1);
    storage.crash(false);
    expect(held(storage, [1])).toEqual([1]);
    openStore(storage).deleteTenant(keyOf(1).tenant, 1);
    storage.crash(false);
    expect(storage.keysWith(keyOf(1).tenant)).toEqual([]);
  });

  it('damages the write that a kill interrupts, and keeps those before it', () => {
    const lengths = new Set<number>();
    for (let seed = 1; seed <= 30; seed++) {
      const { storage } = createStorage(seed);
      for (const index of [1, 2, 3, 4]) {
        openStore(storage).write(keyOf(index), pageOf(index));
      }
      storage.crash(true);
      const numThere = [1, 2, 3, 4].filter((index) => openStore(storage).has(keyOf(index))).length;
      const kept = held(storage, [1, 2, 3, 4]);
      expect(kept).toEqual([1, 2, 3, 4].slice(0, numThere - 1));
      lengths.add(kept.length);
    }
    expect(lengths.size).toBeGreaterThan(2);
  });

  it('refuses writes while it is full, and deletes as ever', async () => {
    const { storage } = createStorage();
    openStore(storage).write(keyOf(1), pageOf(1));
    storage.isFull = true;
    openStore(storage).write(keyOf(2), pageOf(2));
    expect(() => openStore(storage).pin([keyOf(1)], 1)).toThrow('SQLITE_FULL');
    await systemClock.yieldToEvents();
    expect(held(storage, [1, 2])).toEqual([1]);
    openStore(storage).delete([keyOf(1)]);
    expect(held(storage, [1])).toEqual([]);
  });

  it('tells of the next write once, and of alarms', async () => {
    const { storage, flush, alarms } = createStorage();
    let numTold = 0;
    storage.onNextWrite = () => numTold++;
    await storage.put({ a: 1 });
    await storage.put({ b: 2 });
    await storage.setAlarm(500);
    await flush();
    expect([numTold, alarms]).toEqual([1, [500]]);
  });
});

pageStoreSuite(async (clock, use) => {
  const { storage } = createStorage();
  await use({ store: openStore(storage, clock), settle: () => systemClock.yieldToEvents() });
});
