import { describe, expect, it } from 'vitest';
import type { CachedPage } from '../../kv/prefix-cache.ts';
import { PrefixCache } from '../../kv/prefix-cache.ts';
import { requestOf } from '../../test/tiny-ring.ts';
import { PageOperationQueue, toPageOperation, type PendingOperation } from '../page-operation-queue.ts';
import { Sequence } from '../sequence.ts';

const LIMITS = { pageOperationsStepMax: 5, pageRestoresStepMax: 2 };
const { pool } = new PrefixCache(1);
const sequence = new Sequence(1, requestOf(), pool);
const other = new Sequence(2, requestOf(), pool);

function save(page: number, tenant = 't'): PendingOperation {
  const key = { tenant, hash: `hash ${page}` };
  const entry: CachedPage = { page, key, parent: null, tokens: [], saveState: 'requested', numSavesRequested: 1 };
  return { kind: 'save', entry };
}

const copy = (page: number): PendingOperation => ({ kind: 'copy', sequence, numRewinds: 0, page, sourcePage: 99 });

function restore(page: number, owner = sequence): PendingOperation {
  const key = { tenant: 't', hash: `hash ${page}` };
  return { kind: 'restore', sequence: owner, numRewinds: 0, page, pageIndex: page, key };
}

function queueOf(...operations: readonly PendingOperation[]): PageOperationQueue {
  const queue = new PageOperationQueue(LIMITS);
  operations.forEach((operation) => queue.add(operation));
  return queue;
}

const pagesOf = (operations: readonly PendingOperation[]): number[] =>
  operations.map((operation) => toPageOperation(operation).page);

describe('PageOperationQueue', () => {
  it('keeps copies and saves in order, and puts restores behind them in portions', () => {
    const queue = queueOf(restore(1), save(2), restore(3), copy(4), restore(5), save(6));
    expect(pagesOf(queue.take(true))).toEqual([2, 4, 6, 1, 3]);
    expect(queue.hasRestores).toBe(true);
    expect(pagesOf(queue.take(true))).toEqual([5]);
    expect([queue.size, queue.hasRestores]).toEqual([0, false]);
  });

  it('gives a step as many as it takes, and with tokens no fewer copies and saves than there are', () => {
    const five = queueOf(save(1), save(2), save(3), save(4), save(5), restore(9));
    expect([five.hasRoomFor(0), five.hasRoomFor(1)]).toEqual([true, false]);
    expect(pagesOf(five.take(true))).toEqual([1, 2, 3, 4, 5]);
    expect(pagesOf(five.take(true))).toEqual([9]);
    const six = queueOf(save(1), save(2), save(3), save(4), save(5), save(6));
    expect(six.hasRoomFor(0)).toBe(false);
    expect(() => six.take(true)).toThrow('cannot leave a copy or a save behind');
    expect(pagesOf(six.take(false))).toEqual([1, 2, 3, 4, 5]);
    expect(pagesOf(six.take(true))).toEqual([6]);
  });

  it('forgets the restores of a sequence, the saves of a tenant, or everything', () => {
    const queue = queueOf(save(1), save(2, 'other'), restore(3), restore(4, other));
    queue.dropRestores(sequence);
    queue.dropSaves('t');
    expect(pagesOf(queue.take(true))).toEqual([2, 4]);
    queue.add(save(5));
    queue.add(restore(6));
    queue.clear();
    expect(queue.size).toBe(0);
  });

  it('says what crosses the ring', () => {
    const key = { tenant: 't', hash: 'hash 7' };
    expect([save(7), restore(7), copy(7)].map(toPageOperation)).toEqual([
      { kind: 'save', page: 7, key },
      { kind: 'restore', page: 7, key },
      { kind: 'copy', page: 7, sourcePage: 99 },
    ]);
  });
});
