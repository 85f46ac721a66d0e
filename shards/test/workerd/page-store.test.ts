/** The pages of a stage in the SQLite of its object. */
import { runDurableObjectAlarm, runInDurableObject } from 'cloudflare:test';
import { describe, expect, it } from 'vitest';
import { INDEX_PREFIX, PART_BYTES_MAX } from '../../platform/cloudflare/page-rows.ts';
import {
  PRUNE_INTERVAL_MS,
  PRUNE_PAGES_MAX,
  PRUNE_PAUSE_MS,
  SqlitePageStore,
  USE_GRANULARITY_MS,
  type PageStorage,
} from '../../platform/cloudflare/sqlite-page-store.ts';
import type { PageIndexLimits } from '../../platform/page-index.ts';
import type { PageStore } from '../../platform/page-store.ts';
import { systemClock } from '../../platform/system.ts';
import { HandClock, keyOf, pageOf, pageStoreSuite, SUITE_LIMITS } from '../../platform/test/page-store-suite.ts';
import { shardOf } from './ring-client.ts';

const SCOPE = { manifestSha256: 'a'.repeat(64), layerStart: 0, layerEnd: 2 };
const WIDE: PageIndexLimits = { bytesMax: 2 ** 30, pagesMax: 10_000, ttlMs: 8 * USE_GRANULARITY_MS };

let numObjects = 0;

interface Fixture {
  readonly clock: HandClock;
  readonly kv: SyncKvStorage;
  /** Every alarm that was set. */
  readonly alarms: number[];
  /** A store as of an object that has just woken. */
  readonly open: (limits?: PageIndexLimits, scope?: typeof SCOPE) => SqlitePageStore;
  readonly settle: () => Promise<void>;
  readonly numRows: () => number;
}

/** Runs inside of an object of its own. Its alarm is left alone: the times of these tests are long past. */
async function inObject(use: (fixture: Fixture) => Promise<void>, clock = new HandClock()): Promise<void> {
  const stub = shardOf(`store${numObjects++}`, 0, 1);
  await runInDurableObject(stub, async (_instance, { storage }) => {
    const alarms: number[] = [];
    const { kv } = storage;
    const pageStorage: PageStorage = {
      put: storage.put.bind(storage),
      delete: storage.delete.bind(storage),
      setAlarm: (time) => Promise.resolve(void alarms.push(time)),
      kv,
    };
    await use({
      clock,
      kv,
      alarms,
      open: (limits = WIDE, scope = SCOPE) => new SqlitePageStore({ storage: pageStorage, clock, scope, limits }),
      settle: () => storage.sync(),
      numRows: () => [...kv.list()].length,
    });
  });
}

pageStoreSuite((clock, use) => inObject(async ({ open, settle }) => use({ store: open(SUITE_LIMITS), settle }), clock));

const has = (store: PageStore, ...indices: number[]): boolean[] => indices.map((index) => store.has(keyOf(index)));

function read(store: PageStore, index: number): Uint8Array | null {
  const into = new Uint8Array(pageOf(index).byteLength);
  return store.read(keyOf(index), into) ? into : null;
}

describe('pages in an object', () => {
  it('outlive it, with their order of use and their pins', async () => {
    await inObject(async ({ clock, open, settle }) => {
      const first = open(SUITE_LIMITS);
      for (let index = 1; index <= 4; index++) {
        clock.ms += 1;
        first.write(keyOf(index), pageOf(index));
      }
      first.pin([keyOf(1)], clock.ms + 100);
      await settle();
      const second = open(SUITE_LIMITS);
      expect(read(second, 3)).toEqual(pageOf(3));
      second.write(keyOf(5), pageOf(5));
      expect(has(second, 1, 2, 3, 4, 5)).toEqual([true, false, true, true, true]);
      expect(has(open(SUITE_LIMITS), 1, 2, 3, 4, 5)).toEqual([true, false, true, true, true]);
    });
  });

  it('are as alive as their last use, give or take what is not written down', async () => {
    await inObject(async ({ clock, open }) => {
      open().write(keyOf(1), pageOf(1));
      open().write(keyOf(2), pageOf(2));
      clock.ms += USE_GRANULARITY_MS;
      expect(read(open(), 1)).toEqual(pageOf(1));
      clock.ms += WIDE.ttlMs - USE_GRANULARITY_MS;
      expect(has(open(), 1, 2)).toEqual([true, false]);
    });
  });

  it('are cut into parts where a row would be too long', async () => {
    await inObject(async ({ open, numRows }) => {
      const bytes = Uint8Array.from({ length: 2 * PART_BYTES_MAX }, (_, i) => (i * 31 + (i >> 9)) & 0xff);
      open().write(keyOf(1), bytes);
      // The checksum makes it longer than two parts.
      expect(numRows()).toBe(1 + 3);
      const into = new Uint8Array(bytes.byteLength);
      expect(open().read(keyOf(1), into)).toBe(true);
      expect(into).toEqual(bytes);
      open().delete([keyOf(1)]);
      expect(numRows()).toBe(0);
    });
  });

  it.each([
    ['a flipped bit', (part: Uint8Array) => part.map((byte, at) => (at === 500 ? byte ^ 1 : byte))],
    ['a missing end', (part: Uint8Array) => part.slice(0, -1)],
    ['a longer end', (part: Uint8Array) => Uint8Array.of(...part, 0)],
    ['no bytes at all', () => new Uint8Array(0)],
    ['something else', () => 'text'],
    ['nothing', () => undefined],
  ] as const)('are missing after %s, and leave no row', async (_name, damage) => {
    await inObject(async ({ open, kv, numRows }) => {
      open().write(keyOf(1), pageOf(1));
      const [[key, part]] = [...kv.list<Uint8Array>({ prefix: 'page-part/' })] as [[string, Uint8Array]];
      const damaged = damage(part);
      if (damaged === undefined) {
        kv.delete(key);
      } else {
        kv.put(key, damaged);
      }
      const store = open();
      expect(store.has(keyOf(1))).toBe(true);
      expect(read(store, 1)).toBeNull();
      expect(store.has(keyOf(1))).toBe(false);
      expect(numRows()).toBe(0);
    });
  });

  it('do not pass for each other', async () => {
    await inObject(async ({ open, kv }) => {
      open().write(keyOf(1), pageOf(1));
      open().write(keyOf(2), pageOf(2));
      const [[first], [, other]] = [...kv.list<Uint8Array>({ prefix: 'page-part/' })] as [
        [string],
        [string, Uint8Array],
      ];
      kv.put(first, other);
      expect([read(open(), 1), read(open(), 2)]).toEqual([null, pageOf(2)]);
    });
  });

  it.each([
    ['other weights', { ...SCOPE, manifestSha256: 'b'.repeat(64) }],
    ['other layers', { ...SCOPE, layerEnd: 3 }],
  ])('of %s are not found, and are pruned in pieces', async (_name, otherScope) => {
    await inObject(async ({ clock, open, alarms, numRows }) => {
      const old = open(WIDE, otherScope);
      for (let index = 0; index < PRUNE_PAGES_MAX + 1; index++) {
        old.write(keyOf(index), pageOf(index));
      }
      alarms.length = 0;
      const store = open();
      expect(has(store, 0, 1)).toEqual([false, false]);
      expect(alarms).toEqual([clock.ms + PRUNE_PAUSE_MS]);
      store.prune();
      expect(numRows()).toBe(2);
      expect(alarms).toHaveLength(2);
      store.prune();
      expect(numRows()).toBe(0);
      expect(alarms).toHaveLength(2);
    });
  });

  it('with a damaged row in the index are pruned, too', async () => {
    await inObject(async ({ open, kv, numRows }) => {
      open().write(keyOf(1), pageOf(1));
      const [[key]] = [...kv.list({ prefix: INDEX_PREFIX })] as [[string, unknown]];
      for (const row of ['text', [1000, 1], [1000, 2, 0, 0], [2 ** 50, 2 ** 30, 0, 0], [1000, 1, -1, 0]]) {
        kv.put(key, row);
        expect(open().has(keyOf(1))).toBe(false);
      }
      open().prune();
      expect(numRows()).toBe(0);
    });
  });

  it('wake the object when the first of them expires, not more often than agreed, and not when there are none', async () => {
    await inObject(async ({ clock, open, alarms, numRows }) => {
      const store = open();
      store.prune();
      expect(alarms).toEqual([]);
      const start = clock.ms;
      store.write(keyOf(1), pageOf(1));
      clock.ms += 5;
      store.write(keyOf(2), pageOf(2));
      expect(alarms).toEqual([start + WIDE.ttlMs]);
      clock.ms = start + WIDE.ttlMs;
      open().prune();
      expect(has(open(), 1, 2)).toEqual([false, true]);
      expect(alarms).toEqual([start + WIDE.ttlMs, clock.ms + PRUNE_INTERVAL_MS]);
      clock.ms += PRUNE_INTERVAL_MS;
      open().prune();
      expect(numRows()).toBe(0);
      expect(alarms).toHaveLength(2);
    });
  });

  it('of a tenant leave no row, those of other weights included', async () => {
    await inObject(async ({ open, numRows }) => {
      const otherScope = { ...SCOPE, layerEnd: 9 };
      for (const store of [open(), open(WIDE, otherScope)]) {
        store.write(keyOf(1), pageOf(1));
        store.write(keyOf(1, 2), pageOf(1));
      }
      expect(open().deleteTenant(keyOf(0).tenant, 2)).toBe(false);
      expect(numRows()).toBe(4);
      // One of each plan: those that are no longer read come last.
      expect(open().deleteTenant(keyOf(0, 2).tenant, 1)).toBe(true);
      expect(numRows()).toBe(2);
      expect(open().deleteTenant(keyOf(0, 2).tenant, 1)).toBe(false);
      expect(numRows()).toBe(0);
    });
  });
});

it('the alarm of a shard prunes', async () => {
  const stub = shardOf('pruned', 0, 1);
  await runInDurableObject(stub, (_instance, { storage }) => {
    new SqlitePageStore({ storage, clock: systemClock, scope: SCOPE }).write(keyOf(1), pageOf(1));
  });
  expect(await runDurableObjectAlarm(stub)).toBe(true);
  const numRows = await runInDurableObject(stub, (_instance, { storage }) => [...storage.kv.list()].length);
  expect(numRows).toBe(0);
});
