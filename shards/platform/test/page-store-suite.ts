/** What every page store does, wherever it keeps its pages. */
import { describe, expect, it } from 'vitest';
import type { PageKey } from '../../kv/page-key.ts';
import type { Clock } from '../clock.ts';
import type { PageIndexLimits } from '../page-index.ts';
import type { PageStore } from '../page-store.ts';

export const SUITE_PAGE_BYTES = 1000;
const SUITE_PAGES_MAX = 4;
const SUITE_TTL_MS = 1000;

/** Of the stores under test. */
export const SUITE_LIMITS: PageIndexLimits = {
  bytesMax: (SUITE_PAGES_MAX + 1) * SUITE_PAGE_BYTES - 1,
  pagesMax: 100,
  ttlMs: SUITE_TTL_MS,
};

/** A clock that stands still until a test moves it. It starts no timers. */
export class HandClock implements Clock {
  ms = 1_000_000;
  nowMs(): number {
    return this.ms;
  }
  startTimer(): never {
    throw new Error('a store starts no timer');
  }
  yieldToEvents(): Promise<void> {
    return Promise.resolve();
  }
}

export function keyOf(index: number, tenant = 1): PageKey {
  const hex = (value: number): string => value.toString(16).padStart(32, '0');
  return { tenant: hex(tenant), hash: hex(index) };
}

export function pageOf(index: number): Uint8Array<ArrayBuffer> {
  return Uint8Array.from({ length: SUITE_PAGE_BYTES }, (_, i) => (i * 7 + index * 31) & 0xff);
}

export interface OpenedStore {
  readonly store: PageStore;
  /** Resolves when what was written has been written, or lost. */
  readonly settle: () => Promise<void>;
}

/**
 * @param withStore passes on a new, empty store with the limits of this suite
 */
export function pageStoreSuite(
  withStore: (clock: HandClock, use: (opened: OpenedStore) => Promise<void>) => Promise<void>,
): void {
  const read = (store: PageStore, key: PageKey): Uint8Array | null => {
    const into = new Uint8Array(SUITE_PAGE_BYTES);
    return store.read(key, into) ? into : null;
  };
  const held = (store: PageStore, indices: readonly number[]): number[] =>
    indices.filter((index) => store.has(keyOf(index)));

  const withClock = (use: (opened: OpenedStore, clock: HandClock) => Promise<void>) => async (): Promise<void> => {
    const clock = new HandClock();
    await withStore(clock, (opened) => use(opened, clock));
  };

  describe('a page store', () => {
    it(
      'gives back what was written, and nothing that was not',
      withClock(async ({ store, settle }) => {
        expect(store.has(keyOf(1))).toBe(false);
        expect(read(store, keyOf(1))).toBeNull();
        const bytes = pageOf(1);
        store.write(keyOf(1), bytes);
        bytes.fill(0);
        await settle();
        expect(store.has(keyOf(1))).toBe(true);
        expect(read(store, keyOf(1))).toEqual(pageOf(1));
        expect(read(store, keyOf(2))).toBeNull();
      }),
    );

    it(
      'takes the newer one of two pages with the same key',
      withClock(async ({ store, settle }) => {
        store.write(keyOf(1), pageOf(1));
        await settle();
        store.write(keyOf(1), pageOf(2));
        await settle();
        expect(read(store, keyOf(1))).toEqual(pageOf(2));
      }),
    );

    it(
      'does not fill a page of another size',
      withClock(async ({ store, settle }) => {
        store.write(keyOf(1), pageOf(1));
        await settle();
        expect(store.read(keyOf(1), new Uint8Array(SUITE_PAGE_BYTES - 1))).toBe(false);
        expect(store.read(keyOf(1), new Uint8Array(SUITE_PAGE_BYTES + 1))).toBe(false);
      }),
    );

    it(
      'keeps as many as its budget holds, then lets go of the one that was not used for longest',
      withClock(async ({ store, settle }) => {
        for (let index = 1; index <= SUITE_PAGES_MAX; index++) {
          store.write(keyOf(index), pageOf(index));
          await settle();
        }
        expect(held(store, [1, 2, 3, 4])).toEqual([1, 2, 3, 4]);
        expect(read(store, keyOf(1))).not.toBeNull();
        store.write(keyOf(5), pageOf(5));
        await settle();
        expect(held(store, [1, 2, 3, 4, 5])).toEqual([1, 3, 4, 5]);
      }),
    );

    it(
      'lets go of a page that nobody used for its time to live',
      withClock(async ({ store, settle }, clock) => {
        store.write(keyOf(1), pageOf(1));
        store.write(keyOf(2), pageOf(2));
        await settle();
        clock.ms += SUITE_TTL_MS - 1;
        expect(read(store, keyOf(1))).not.toBeNull();
        clock.ms += 1;
        expect(held(store, [1, 2])).toEqual([1]);
        expect(read(store, keyOf(2))).toBeNull();
      }),
    );

    it(
      'keeps pinned pages beyond budget and time to live, until their pin ends',
      withClock(async ({ store, settle }, clock) => {
        store.write(keyOf(1), pageOf(1));
        await settle();
        store.pin([keyOf(1), keyOf(99)], clock.ms + 10 * SUITE_TTL_MS);
        for (let index = 2; index <= SUITE_PAGES_MAX + 1; index++) {
          store.write(keyOf(index), pageOf(index));
          await settle();
        }
        expect(held(store, [1, 2, 3, 4, 5])).toEqual([1, 3, 4, 5]);
        clock.ms += 10 * SUITE_TTL_MS - 1;
        expect(held(store, [1, 2, 3, 4, 5])).toEqual([1]);
        clock.ms += 1;
        expect(store.has(keyOf(1))).toBe(false);
      }),
    );

    it(
      'lets go of a page whose pin was taken off',
      withClock(async ({ store, settle }, clock) => {
        store.write(keyOf(1), pageOf(1));
        await settle();
        store.pin([keyOf(1)], clock.ms + 10 * SUITE_TTL_MS);
        store.pin([keyOf(1)], null);
        clock.ms += SUITE_TTL_MS;
        expect(store.has(keyOf(1))).toBe(false);
      }),
    );

    it(
      'loses what it is given while everything is pinned, and takes it again later',
      withClock(async ({ store, settle }, clock) => {
        const indices = Array.from({ length: SUITE_PAGES_MAX }, (_, i) => i + 1);
        for (const index of indices) {
          store.write(keyOf(index), pageOf(index));
          await settle();
        }
        store.pin(
          indices.map((index) => keyOf(index)),
          clock.ms + SUITE_TTL_MS,
        );
        store.write(keyOf(5), pageOf(5));
        await settle();
        expect(held(store, [...indices, 5])).toEqual(indices);
        store.pin([keyOf(1)], null);
        store.write(keyOf(5), pageOf(5));
        await settle();
        expect(held(store, [1, 5])).toEqual([5]);
      }),
    );

    it(
      'deletes pages by key and by tenant, and leaves those of others',
      withClock(async ({ store, settle }) => {
        for (const key of [keyOf(1), keyOf(2), keyOf(1, 2), keyOf(2, 2)]) {
          store.write(key, pageOf(1));
          await settle();
        }
        store.pin([keyOf(1, 2)], Number.MAX_SAFE_INTEGER);
        store.delete([keyOf(1), keyOf(77)]);
        expect(held(store, [1, 2])).toEqual([2]);
        expect(store.deleteTenant(keyOf(0, 2).tenant, 2)).toBe(false);
        expect(store.has(keyOf(1, 2)) || store.has(keyOf(2, 2))).toBe(false);
        expect(read(store, keyOf(1, 2))).toBeNull();
        expect(held(store, [2])).toEqual([2]);
      }),
    );

    it(
      'deletes a tenant in parts, and says whether there is more',
      withClock(async ({ store, settle }) => {
        const numHeld = (): number => [1, 2, 3].filter((index) => store.has(keyOf(index, 2))).length;
        for (const index of [1, 2, 3]) {
          store.write(keyOf(index, 2), pageOf(1));
          await settle();
        }
        const { tenant } = keyOf(0, 2);
        expect([store.deleteTenant(tenant, 1), numHeld()]).toEqual([true, 2]);
        expect([store.deleteTenant(tenant, 1), numHeld()]).toEqual([true, 1]);
        expect([store.deleteTenant(tenant, 1), numHeld()]).toEqual([false, 0]);
        expect(store.deleteTenant(tenant, 2)).toBe(false);
      }),
    );
  });
}
