import { describe, expect, it } from 'vitest';
import { PageIndex, type PageEntry } from '../page-index.ts';
import { HandClock } from './page-store-suite.ts';

const LIMITS = { bytesMax: 1000, pagesMax: 3, ttlMs: 100 };

function createIndex(): {
  index: PageIndex<PageEntry>;
  clock: HandClock;
  readonly add: (name: string, numBytes?: number) => PageEntry;
} {
  const clock = new HandClock();
  const index = new PageIndex<PageEntry>(clock, LIMITS);
  const add = (name: string, numBytes = 10): PageEntry => {
    const entry = { numBytes, usedMs: clock.nowMs(), pinnedUntilMs: 0 };
    index.add(name, entry);
    return entry;
  };
  return { index, clock, add };
}

describe('an index of pages', () => {
  it('is as long as agreed, and no longer', () => {
    const { index, add } = createIndex();
    add('a/1');
    add('a/2');
    expect(index.victimsFor(10)).toEqual([]);
    add('a/3');
    expect(index.victimsFor(10)).toEqual(['a/1']);
  });

  it('has room for as many bytes as agreed, and no more', () => {
    const { index, add } = createIndex();
    add('a/1', 400);
    expect(index.victimsFor(600)).toEqual([]);
    expect(index.victimsFor(601)).toEqual(['a/1']);
    expect(index.victimsFor(1000)).toEqual(['a/1']);
    expect(index.victimsFor(1001)).toBeNull();
  });

  it('forgets the bytes of what is removed or replaced', () => {
    const { index, add } = createIndex();
    add('a/1', 900);
    add('a/1', 500);
    expect(index.victimsFor(500)).toEqual([]);
    expect(index.remove('a/1')?.numBytes).toBe(500);
    expect(index.remove('a/1')).toBeNull();
    expect(index.victimsFor(1000)).toEqual([]);
  });

  it('tells when the first page will expire, and which have', () => {
    const { index, clock, add } = createIndex();
    expect(index.nextExpiryMs()).toBeNull();
    const start = clock.ms;
    add('a/1').pinnedUntilMs = start + 500;
    clock.ms += 30;
    add('a/2');
    clock.ms += 30;
    add('b/3');
    expect(index.nextExpiryMs()).toBe(start + 130);
    clock.ms = start + 160;
    expect(index.expired(5)).toEqual(['a/2', 'b/3']);
    expect(index.expired(1)).toEqual(['a/2']);
    expect(index.ofTenant('a')).toEqual(['a/1', 'a/2']);
    expect(index.find('a/2')).toBeNull();
  });
});
