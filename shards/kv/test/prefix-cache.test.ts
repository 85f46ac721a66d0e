import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { PAGE_SIZE_TOKENS } from '../../../wasm/host/stage-runtime.ts';
import { PageHashChain } from '../page-hash-chain.ts';
import { PageTable } from '../page-table.ts';
import { PINS_MAX, PrefixCache, type CachedPage } from '../prefix-cache.ts';

const NUM_PAGES = 8;

/** One page of tokens for each letter. */
function tokensOf(text: string): number[] {
  return text
    .split('')
    .flatMap((letter) => Array.from({ length: PAGE_SIZE_TOKENS }, (_, i) => letter.charCodeAt(0) * 100 + i));
}

interface Owner {
  readonly salt: string;
  readonly text: string;
  readonly table: PageTable;
}

/**
 * Sequences whose texts have a letter for each page, beside a model of what must be known: names `salt:text` of prefixes
 * with their pages, and the pages without an owner in the order in which they lost it.
 */
class World {
  readonly cache = new PrefixCache(NUM_PAGES);
  owners: Owner[] = [];
  readonly known = new Map<string, number>();
  readonly pinned = new Set<string>();
  lru: number[] = [];

  start(salt: string, text: string): void {
    const { pool } = this.cache;
    const chain = new PageHashChain(salt);
    const tokens = tokensOf(text);
    const matched: CachedPage[] = [];
    for (let i = 0; i < text.length; i++) {
      const found = this.cache.find(chain.hash(tokens, i));
      expect(found?.page).toBe(this.known.get(`${salt}:${text.slice(0, i + 1)}`));
      if (found !== null && matched.length === i) {
        matched.push(found);
      }
    }
    const table = new PageTable(pool);
    const shared = matched.map(({ page }) => page);
    table.share(shared);
    this.lru = this.lru.filter((page) => !shared.includes(page));
    const numNew = text.length - matched.length;
    const numFree =
      NUM_PAGES - new Set([...this.owners.flatMap((owner) => owner.table.pages), ...shared, ...this.lru]).size;
    const order = [...this.lru].sort((a, b) => Number(this.#isPinned(a)) - Number(this.#isPinned(b)));
    const evicted = order.slice(0, Math.max(0, numNew - numFree));
    const covered = table.cover(tokens.length);
    expect(covered).toBe(numNew <= numFree + order.length);
    if (!covered) {
      this.#release({ salt, text, table });
      return;
    }
    this.#lose(evicted);
    for (let i = matched.length; i < text.length; i++) {
      const page = table.pages[i] as number;
      const name = `${salt}:${text.slice(0, i + 1)}`;
      const parent = i === 0 ? null : chain.hash(tokens, i - 1);
      const pageTokens = tokens.slice(i * PAGE_SIZE_TOKENS, (i + 1) * PAGE_SIZE_TOKENS);
      const entry = this.cache.register({ page, key: chain.key(tokens, i), parent, tokens: pageTokens });
      expect(entry === null).toBe(this.known.has(name));
      if (entry !== null) {
        this.known.set(name, page);
      }
    }
    this.owners.push({ salt, text, table });
  }

  end(index: number): void {
    const [owner] = this.owners.splice(index % Math.max(1, this.owners.length), 1);
    if (owner !== undefined) {
      this.#release(owner);
    }
  }

  pin(salt: string, text: string, isPinned: boolean): void {
    const chain = new PageHashChain(salt);
    const tokens = tokensOf(text);
    const keys = text.split('').map((_, i) => chain.key(tokens, i));
    const names = text.split('').map((_, i) => `${salt}:${text.slice(0, i + 1)}`);
    // Whatever is pinned anew or let go is put behind the others of its kind.
    const touched = names.flatMap((name) => this.known.get(name) ?? []).filter((page) => this.lru.includes(page));
    if (isPinned) {
      this.cache.pin(keys, 1000);
    } else {
      this.cache.unpin(keys);
    }
    names.forEach((name) => (isPinned ? this.pinned.add(name) : this.pinned.delete(name)));
    this.lru = [...this.lru.filter((page) => !touched.includes(page)), ...touched];
  }

  drop(salt: string | null): void {
    if (salt === null) {
      this.cache.clear();
    } else {
      this.cache.dropTenant(new PageHashChain(salt).tenant);
      [...this.pinned].filter((name) => name.startsWith(`${salt}:`)).forEach((name) => this.pinned.delete(name));
    }
    const dropped = [...this.known].filter(([name]) => salt === null || name.startsWith(`${salt}:`));
    this.#lose(dropped.map(([, page]) => page));
  }

  check(): void {
    const { pool } = this.cache;
    const held = this.owners.flatMap(({ table }) => table.pages);
    for (let page = 0; page < NUM_PAGES; page++) {
      const count = held.filter((other) => other === page).length;
      expect(pool.referenceCount(page)).toBe(count);
      const isKnown = [...this.known.values()].includes(page);
      expect(pool.state(page)).toBe(count > 0 ? 'referenced' : isKnown ? 'cached' : 'free');
    }
    expect(pool.numCachedPages).toBe(this.lru.length);
    expect(pool.numAvailablePages).toBe(NUM_PAGES - new Set(held).size);
    expect(this.cache.numPages).toBe(this.known.size);
    const salts = held.map(
      (page) => new Set(this.owners.filter((o) => o.table.pages.includes(page)).map((o) => o.salt)),
    );
    expect(salts.every(({ size }) => size === 1)).toBe(true);
  }

  #release({ table }: Owner): void {
    const pages = table.pages.toReversed();
    table.release();
    const held = this.owners.flatMap((owner) => owner.table.pages);
    this.lru.push(...pages.filter((page) => !held.includes(page) && [...this.known.values()].includes(page)));
  }

  #lose(pages: readonly number[]): void {
    [...this.known].filter(([, page]) => pages.includes(page)).forEach(([name]) => this.known.delete(name));
    this.lru = this.lru.filter((page) => !pages.includes(page));
  }

  #isPinned(page: number): boolean {
    return [...this.known].some(([name, other]) => other === page && this.pinned.has(name));
  }
}

const salts = fc.constantFrom('a', 'b');
const texts = fc.string({ unit: fc.constantFrom('x', 'y'), minLength: 1, maxLength: 5 });
const operations = fc.oneof(
  { weight: 6, arbitrary: fc.record({ kind: fc.constant('start' as const), salt: salts, text: texts }) },
  { weight: 4, arbitrary: fc.record({ kind: fc.constant('end' as const), index: fc.nat({ max: 7 }) }) },
  {
    weight: 2,
    arbitrary: fc.record({ kind: fc.constant('pin' as const), salt: salts, text: texts, isPinned: fc.boolean() }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('drop' as const), salt: fc.constantFrom('a', 'b', null) }) },
);

describe('PrefixCache', () => {
  it('agrees with a naive model after any operations', () => {
    fc.assert(
      fc.property(fc.array(operations, { maxLength: 60, size: 'max' }), (all) => {
        const world = new World();
        for (const operation of all) {
          if (operation.kind === 'start') {
            world.start(operation.salt, operation.text);
          } else if (operation.kind === 'end') {
            world.end(operation.index);
          } else if (operation.kind === 'pin') {
            world.pin(operation.salt, operation.text, operation.isPinned);
          } else {
            world.drop(operation.salt);
          }
          world.check();
        }
      }),
      { numRuns: 500 },
    );
  });

  it('finds equal tokens of another salt nowhere', () => {
    const world = new World();
    world.start('a', 'xy');
    const tokens = tokensOf('xy');
    const other = new PageHashChain('b');
    expect(world.cache.find(other.hash(tokens, 0))).toBeNull();
    expect(world.cache.findPartial(other.tenant, null, tokens)).toBeNull();
    expect(world.cache.find(new PageHashChain('a').hash(tokens, 1))).not.toBeNull();
  });

  it('finds the page that has most in common, after its parent only', () => {
    const world = new World();
    world.start('a', 'xy');
    const chain = new PageHashChain('a');
    const { tenant } = chain;
    const parent = chain.hash(tokensOf('x'), 0);
    const [, second] = world.owners[0]?.table.pages ?? [];
    const wanted = [...tokensOf('y').slice(0, 5), 7, 7];
    expect(world.cache.findPartial(tenant, parent, wanted)).toEqual({ page: second, numTokens: 5 });
    expect(world.cache.findPartial(tenant, parent, tokensOf('yy'))).toEqual({
      page: second,
      numTokens: PAGE_SIZE_TOKENS,
    });
    expect(world.cache.findPartial(tenant, null, wanted)).toBeNull();
    expect(world.cache.findPartial(tenant, parent, [7])).toBeNull();
  });

  it('lets pins end, also of pages that are not in memory', () => {
    const world = new World();
    const chain = new PageHashChain('a');
    world.cache.pin([chain.key(tokensOf('p'), 0)], 500);
    world.pinned.add('a:p');
    world.start('a', 'p');
    world.start('a', 'q');
    world.end(0);
    world.end(0);
    world.cache.endPins(499);
    world.start('b', 'vvvvvvv');
    expect(world.cache.find(chain.hash(tokensOf('p'), 0))).not.toBeNull();
    expect(world.cache.find(new PageHashChain('a').hash(tokensOf('q'), 0))).toBeNull();
    world.cache.endPins(500);
    world.pinned.clear();
    world.end(0);
    world.start('a', 'q');
    expect(world.cache.find(chain.hash(tokensOf('p'), 0))).toBeNull();
  });

  it('remembers pins up to its limit, and the latest beyond it', () => {
    const cache = new PrefixCache(2);
    const key = (i: number): { tenant: string; hash: string } => ({ tenant: 't', hash: `hash ${i}` });
    const table = new PageTable(cache.pool);
    table.cover(PAGE_SIZE_TOKENS);
    cache.pin([key(0)], 1000);
    cache.pin(
      Array.from({ length: PINS_MAX - 1 }, (_, i) => key(i + 1)),
      1000,
    );
    const isEvictedLast = (hash: number): boolean => {
      const [page] = table.pages as [number];
      cache.register({ page, key: key(hash), parent: null, tokens: tokensOf('x') });
      const other = new PageTable(cache.pool);
      other.cover(PAGE_SIZE_TOKENS);
      cache.register({ page: other.pages[0] as number, key: key(-1), parent: null, tokens: tokensOf('y') });
      table.release();
      other.release();
      table.cover(PAGE_SIZE_TOKENS);
      const isLast = cache.find(key(-1).hash) === null && cache.find(key(hash).hash) !== null;
      cache.clear();
      return isLast;
    };
    expect(isEvictedLast(0)).toBe(true);
    cache.pin([key(PINS_MAX)], 1000);
    expect(isEvictedLast(0)).toBe(false);
    expect(isEvictedLast(PINS_MAX)).toBe(true);
  });
});
