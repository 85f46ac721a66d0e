import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { PAGE_SIZE_TOKENS } from '../../../wasm/host/stage-runtime.ts';
import { PagePool } from '../page-pool.ts';
import { PageTable, pagesForTokens } from '../page-table.ts';

describe('PagePool', () => {
  it('hands out each page once, all or nothing', () => {
    const pool = new PagePool(4);
    const first = pool.allocate(3) ?? [];
    expect(pool.allocate(2)).toBeNull();
    expect(pool.numAvailablePages).toBe(1);
    const pages = [...first, ...(pool.allocate(1) ?? [])];
    expect(pages.toSorted((a, b) => a - b)).toEqual([0, 1, 2, 3]);
    expect(pool.allocate(1)).toBeNull();
    expect(pool.allocate(0)).toEqual([]);
  });

  it('frees a shared page with its last reference', () => {
    const pool = new PagePool(1);
    pool.allocate(1);
    pool.retain(0);
    pool.release(0);
    expect(pool.numAvailablePages).toBe(0);
    pool.release(0);
    expect(pool.numAvailablePages).toBe(1);
  });

  it('refuses what would make the accounting wrong', () => {
    const pool = new PagePool(2);
    expect(() => pool.release(0)).toThrow('more often than it was taken');
    expect(() => pool.retain(1)).toThrow('is free');
    expect(() => pool.release(2)).toThrow('not one of the 2');
    expect(() => new PagePool(0)).toThrow('needs pages');
  });

  it('agrees with a naive count after any operations', () => {
    const operation = fc.record({
      kind: fc.constantFrom('allocate' as const, 'retain' as const, 'release' as const),
      value: fc.nat({ max: 9 }),
    });
    fc.assert(
      fc.property(fc.array(operation, { maxLength: 60 }), (operations) => {
        const pool = new PagePool(10);
        const counts = Array.from({ length: 10 }, () => 0);
        for (const { kind, value } of operations) {
          const numUsed = counts.filter((count) => count > 0).length;
          const numTaken = kind === 'allocate' && numUsed + value <= 10 ? value : 0;
          if (kind === 'allocate') {
            pool.allocate(value)?.forEach((page) => (counts[page] = Number(counts[page]) + 1));
          } else if (Number(counts[value]) > 0) {
            pool[kind](value);
            counts[value] = Number(counts[value]) + (kind === 'retain' ? 1 : -1);
          }
          const numFreed = kind === 'release' && numUsed > counts.filter((count) => count > 0).length ? 1 : 0;
          expect(pool.numAvailablePages).toBe(10 - numUsed - numTaken + numFreed);
          expect(counts.map((_, page) => pool.referenceCount(page))).toEqual(counts);
        }
      }),
    );
  });
});

describe('PageTable', () => {
  it('covers tokens with the fewest pages and keeps those it has', () => {
    const table = new PageTable(new PagePool(8));
    expect(table.cover(1)).toBe(true);
    const [first] = table.pages;
    expect(table.cover(PAGE_SIZE_TOKENS)).toBe(true);
    expect(table.pages).toEqual([first]);
    expect(table.cover(PAGE_SIZE_TOKENS + 1)).toBe(true);
    expect(table.pages).toHaveLength(2);
    expect(table.pages[0]).toBe(first);
  });

  it('takes nothing when it cannot take all', () => {
    const pool = new PagePool(2);
    const table = new PageTable(pool);
    expect(table.cover(3 * PAGE_SIZE_TOKENS)).toBe(false);
    expect(table.pages).toHaveLength(0);
    expect(pool.numAvailablePages).toBe(2);
  });

  it('gives everything back, once', () => {
    const pool = new PagePool(3);
    const table = new PageTable(pool);
    table.cover(3 * PAGE_SIZE_TOKENS);
    table.release();
    table.release();
    expect(pool.numAvailablePages).toBe(3);
  });

  it('counts pages around their borders', () => {
    const counts = [0, 1, PAGE_SIZE_TOKENS - 1, PAGE_SIZE_TOKENS, PAGE_SIZE_TOKENS + 1].map(pagesForTokens);
    expect(counts).toEqual([0, 1, 1, 1, 2]);
  });
});
