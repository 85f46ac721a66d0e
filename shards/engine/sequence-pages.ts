/**
 * Between sequences and the prefix cache: what a sequence finds when it is admitted, and what it leaves behind. A page is
 * registered, and saved by all stages, as soon as it is full and all its tokens are verified.
 */
import { assert } from '../../wasm/host/assert.ts';
import { PAGE_SIZE_TOKENS } from '../../wasm/host/stage-runtime.ts';
import { pagesForTokens } from '../kv/page-table.ts';
import type { CachedPage, PrefixCache } from '../kv/prefix-cache.ts';
import type { PageKey } from '../kv/page-key.ts';
import type { Clock } from '../platform/clock.ts';
import type { EngineCounters } from './counters.ts';
import type { PageOperationQueue, PendingOperation } from './page-operation-queue.ts';
import type { Sequence } from './sequence.ts';

/** Steps that may be lost with the save of one page: as many as rings may break under one sequence. */
export const SAVE_REQUESTS_MAX = 3;

export interface SequencePagesOptions {
  readonly cache: PrefixCache;
  readonly operations: PageOperationQueue;
  readonly counters: EngineCounters;
  readonly clock: Clock;
  /** Whether the pages of the head's layers are stored under the key; then those of the others mostly are, too. */
  readonly hasStored: (key: PageKey) => boolean;
}

/** `held`: another sequence computes the next page at this moment, which will be found when it is there. */
export type Admission = 'admitted' | 'no_pages' | 'held';

export class SequencePages {
  readonly #options: SequencePagesOptions;

  constructor(options: SequencePagesOptions) {
    this.#options = options;
  }

  /**
   * Gives a waiting sequence pages for all its tokens: those that hold its beginning already, or will after a restore or a
   * copy in the next steps, and fresh ones for the rest.
   * @param running whom it may be worth waiting for.
   */
  admit(sequence: Sequence, running: readonly Sequence[]): Admission {
    const { cache, clock } = this.#options;
    cache.endPins(clock.nowMs());
    const resident = this.#findResident(sequence);
    if (isBeingComputed(sequence, resident.length, running)) {
      return 'held';
    }
    const numInUse = resident.filter(({ page }) => cache.pool.referenceCount(page) > 0).length;
    if (pagesForTokens(sequence.tokens.length) - numInUse > cache.pool.numAvailablePages) {
      return 'no_pages';
    }
    const numStored = this.#countStored(sequence, resident.length);
    const partial = numStored > 0 ? null : this.#findPartial(sequence, resident);
    sequence.pageTable.share(resident.map(({ page }) => page));
    // May evict the page that is copied from: it keeps its contents until this sequence writes to it, after the copy.
    const isCovered = sequence.pageTable.cover(sequence.tokens.length);
    assert(isCovered, 'the pages that were counted are not there');
    sequence.numComputedTokens = resident.length * PAGE_SIZE_TOKENS + (partial?.numTokens ?? 0);
    sequence.numRegisteredPages = resident.length;
    if (partial !== null) {
      this.#copy(sequence, partial.page);
    }
    if (numStored > 0) {
      this.#restore(sequence, resident.length, numStored);
    } else {
      this.#noteCached(sequence);
    }
    return 'admitted';
  }

  /** Registers the pages that are full and verified by now, of a sequence that has its pages. */
  register(sequence: Sequence): void {
    if (!sequence.keepsPages) {
      return;
    }
    while ((sequence.numRegisteredPages + 1) * PAGE_SIZE_TOKENS <= sequence.numComputedTokens) {
      const entry = this.#registerNext(sequence);
      if (entry !== null) {
        this.#save(entry);
      }
    }
  }

  /** Takes all pages from a sequence. What it has computed stays in the cache. */
  release(sequence: Sequence): void {
    this.register(sequence);
    this.#options.operations.dropRestores(sequence);
    sequence.pageTable.release();
    sequence.numRegisteredPages = 0;
    sequence.restore = null;
    sequence.isCopyUnconfirmed = false;
  }

  /**
   * A step came back with what it carried.
   * @param missing indices of the restores that some stage had nothing for.
   */
  confirm(operations: readonly PendingOperation[], missing: readonly number[]): void {
    const { counters } = this.#options;
    for (const [index, operation] of operations.entries()) {
      if (operation.kind === 'save') {
        operation.entry.saveState = 'saved';
        counters.numSavedPagesTotal++;
      } else if (operation.kind === 'restore') {
        const isMissing = missing.includes(index);
        counters[isMissing ? 'numMissingPagesTotal' : 'numRestoredPagesTotal']++;
        if (isStillWanted(operation)) {
          this.#takeRestored(operation.sequence, operation.pageIndex, isMissing);
        }
      } else {
        counters.numCopiedPagesTotal++;
        if (isStillWanted(operation)) {
          operation.sequence.isCopyUnconfirmed = false;
        }
      }
    }
  }

  /**
   * Steps were lost, though not the pages: what they should have saved is saved by the next ones. A page whose saves are
   * lost again and again is given up, or what breaks the ring might be repeated for ever.
   */
  retry(lost: readonly PendingOperation[]): void {
    for (const operation of lost) {
      if (operation.kind === 'save') {
        const { entry } = operation;
        const isThere = this.#options.cache.find(entry.key.hash) === entry;
        if (isThere && entry.saveState === 'requested' && entry.numSavesRequested < SAVE_REQUESTS_MAX) {
          this.#save(entry);
        }
      }
    }
  }

  /** Has pages saved that may have been before: a store keeps what it likes. Those that are not in memory are left out. */
  saveAgain(keys: readonly PageKey[]): void {
    for (const { hash } of keys) {
      const entry = this.#options.cache.find(hash);
      if (entry !== null && entry.saveState !== 'requested') {
        entry.numSavesRequested = 0;
        this.#save(entry);
      }
    }
  }

  /** Whether a save of any of these pages is due or under way. */
  isSaving(keys: readonly PageKey[]): boolean {
    return keys.some(({ hash }) => this.#options.cache.find(hash)?.saveState === 'requested');
  }

  /** Whether all of these pages have been saved, as far as the head can tell. */
  areSaved(keys: readonly PageKey[]): boolean {
    return keys.every((key) => {
      const entry = this.#options.cache.find(key.hash);
      return entry === null ? this.#options.hasStored(key) : entry.saveState === 'saved';
    });
  }

  /** Forgets a tenant's pages, and what was to be saved of them. Its sequences keep theirs to themselves: see `keepsPages`. */
  dropTenant(tenant: string): void {
    this.#options.cache.dropTenant(tenant);
    this.#options.operations.dropSaves(tenant);
  }

  /** The contents of all pages are lost. */
  clear(): void {
    this.#options.cache.clear();
    this.#options.operations.clear();
  }

  #findResident(sequence: Sequence): CachedPage[] {
    const resident: CachedPage[] = [];
    const numPagesMax = Math.floor(sequence.numReusableTokens / PAGE_SIZE_TOKENS);
    for (let index = 0; index < numPagesMax; index++) {
      const entry = this.#options.cache.find(sequence.pageKey(index).hash);
      if (entry === null) {
        break;
      }
      resident.push(entry);
    }
    return resident;
  }

  /** Pages that follow those in memory and are stored, as far as the head can tell. */
  #countStored(sequence: Sequence, firstPageIndex: number): number {
    const numPagesMax = Math.floor(sequence.numReusableTokens / PAGE_SIZE_TOKENS);
    let index = firstPageIndex;
    while (index < numPagesMax && this.#options.hasStored(sequence.pageKey(index))) {
      index++;
    }
    return index - firstPageIndex;
  }

  #findPartial(sequence: Sequence, resident: readonly CachedPage[]): { page: number; numTokens: number } | null {
    const start = resident.length * PAGE_SIZE_TOKENS;
    const end = Math.min(sequence.numReusableTokens, start + PAGE_SIZE_TOKENS);
    const wanted = sequence.tokens.slice(start, end);
    const parent = resident.at(-1)?.key.hash ?? null;
    return this.#options.cache.findPartial(sequence.tenant, parent, wanted);
  }

  #copy(sequence: Sequence, sourcePage: number): void {
    const page = sequence.pageTable.pages[sequence.numRegisteredPages] as number;
    const { numRewinds } = sequence;
    sequence.isCopyUnconfirmed = true;
    this.#options.operations.add({ kind: 'copy', sequence, numRewinds, page, sourcePage });
  }

  #restore(sequence: Sequence, firstPageIndex: number, numPages: number): void {
    const { numRewinds } = sequence;
    const endPageIndex = firstPageIndex + numPages;
    sequence.restore = { numPending: numPages, numValidPages: endPageIndex };
    for (let pageIndex = firstPageIndex; pageIndex < endPageIndex; pageIndex++) {
      const page = sequence.pageTable.pages[pageIndex] as number;
      const key = sequence.pageKey(pageIndex);
      this.#options.operations.add({ kind: 'restore', sequence, numRewinds, page, pageIndex, key });
    }
  }

  /** The last answer decides: what came back without a gap counts, the rest is computed. */
  #takeRestored(sequence: Sequence, pageIndex: number, isMissing: boolean): void {
    const { restore } = sequence;
    assert(restore !== null, 'a restore was answered that nobody waits for');
    restore.numPending--;
    if (isMissing) {
      restore.numValidPages = Math.min(restore.numValidPages, pageIndex);
    }
    if (restore.numPending > 0) {
      return;
    }
    sequence.restore = null;
    sequence.numComputedTokens = restore.numValidPages * PAGE_SIZE_TOKENS;
    while (sequence.keepsPages && sequence.numRegisteredPages < restore.numValidPages) {
      const entry = this.#registerNext(sequence);
      if (entry !== null) {
        entry.saveState = 'saved';
      }
    }
    this.#noteCached(sequence);
  }

  #registerNext(sequence: Sequence): CachedPage | null {
    const index = sequence.numRegisteredPages++;
    return this.#options.cache.register({
      page: sequence.pageTable.pages[index] as number,
      key: sequence.pageKey(index),
      parent: index === 0 ? null : sequence.pageKey(index - 1).hash,
      tokens: sequence.tokens.slice(index * PAGE_SIZE_TOKENS, (index + 1) * PAGE_SIZE_TOKENS),
    });
  }

  #save(entry: CachedPage): void {
    entry.saveState = 'requested';
    entry.numSavesRequested++;
    this.#options.operations.add({ kind: 'save', entry });
  }

  /** What its client is told is what the first admission saved. */
  #noteCached(sequence: Sequence): void {
    if (sequence.numCachedTokens === null) {
      sequence.numCachedTokens = Math.min(sequence.numComputedTokens, sequence.numPromptTokens);
      this.#options.counters.numCachedTokensTotal += sequence.numCachedTokens;
    }
  }
}

/** Whether the sequence is still the one that asked: it was neither finished nor taken its pages meanwhile. */
function isStillWanted({ sequence, numRewinds }: { sequence: Sequence; numRewinds: number }): boolean {
  return sequence.state === 'running' && sequence.numRewinds === numRewinds;
}

/**
 * Whether waiting beats computing: a running sequence is about to fill the very page that this one needs next. It moves
 * with every step, and the wait ends where their tokens part.
 */
function isBeingComputed(sequence: Sequence, pageIndex: number, running: readonly Sequence[]): boolean {
  const end = (pageIndex + 1) * PAGE_SIZE_TOKENS;
  if (end > sequence.numReusableTokens) {
    return false;
  }
  return running.some(
    (other) =>
      !other.isPaused &&
      other.keepsPages &&
      other.tenant === sequence.tenant &&
      other.numRegisteredPages <= pageIndex &&
      other.tokens.length >= end &&
      other.pageKey(pageIndex).hash === sequence.pageKey(pageIndex).hash,
  );
}
