/** The checkers of what a head holds: its page tables, its page pool and its prefix cache. */
import type { HeadEngine } from '../engine/engine.ts';
import type { EngineLimits } from '../engine/limits.ts';
import type { Sequence } from '../engine/sequence.ts';
import { check } from './failure.ts';

/** At any moment: counts are exact, no page is lost, and none is within reach of two tenants. */
export function checkPages(name: string, engine: HeadEngine): void {
  const { cache, sequences } = engine.inspect();
  const { pool } = cache;
  const holders = new Map<number, string[]>();
  for (const { state, pageTable, tenant } of sequences) {
    check(state === 'running' || pageTable.pages.length === 0, 'pages', `${name}: a ${state} sequence holds pages`);
    for (const page of pageTable.pages) {
      holders.set(page, [...(holders.get(page) ?? []), tenant]);
    }
  }
  let numAvailable = 0;
  for (let page = 0; page < pool.numPages; page++) {
    const tenants = holders.get(page) ?? [];
    const count = pool.referenceCount(page);
    check(count === tenants.length, 'pages', `${name}: page ${page} is counted ${count} times, held ${tenants.length}`);
    check(new Set(tenants).size <= 1, 'tenants', `${name}: page ${page} is shared by ${tenants.join(' and ')}`);
    numAvailable += count === 0 ? 1 : 0;
  }
  check(
    numAvailable === pool.numAvailablePages,
    'pages',
    `${name}: ${numAvailable} pages are held by nobody, ${pool.numAvailablePages} can be had`,
  );
  let numCached = 0;
  for (const { page, key } of cache.entries()) {
    const tenants = holders.get(page) ?? [];
    check(pool.state(page) !== 'free', 'pages', `${name}: page ${page} is in the cache and free`);
    check(
      tenants.every((tenant) => tenant === key.tenant),
      'tenants',
      `${name}: page ${page} of ${key.tenant} is held by ${tenants.join(' and ')}`,
    );
    numCached += tenants.length === 0 ? 1 : 0;
  }
  check(
    numCached === pool.numCachedPages,
    'pages',
    `${name}: ${pool.numCachedPages} pages are kept, ${numCached} known`,
  );
}

/**
 * At any moment: no more runs, and no more new requests wait, than is allowed. Those that have run before wait beside them:
 * what was admitted once is not refused any more.
 */
export function checkBounds(name: string, engine: HeadEngine, limits: EngineLimits): void {
  const { sequences } = engine.inspect();
  const { sequencesRunningMax, sequencesWaitingMax, stalledWaitingMax } = limits;
  const numRunning = sequences.filter(({ state }) => state === 'running').length;
  const isNew = ({ state, numRewinds, request }: Sequence): boolean =>
    state === 'waiting' && numRewinds === 0 && request.emittedTokens.length === 0;
  const numNew = sequences.filter(isNew).length;
  check(numRunning <= sequencesRunningMax, 'bounds', `${name} runs ${numRunning} sequences of ${sequencesRunningMax}`);
  check(
    numNew <= sequencesWaitingMax,
    'bounds',
    `${name} lets ${numNew} new sequences wait, not ${sequencesWaitingMax}`,
  );
  // A ring that opens anew takes the pages of all that run at once; those that are too many are given up a step later.
  const stalledMax = stalledWaitingMax + sequencesRunningMax;
  const numStalled = sequences.filter(({ state, isPaused }) => state === 'waiting' && isPaused).length;
  check(numStalled <= stalledMax, 'bounds', `${name} keeps ${numStalled} stalled sequences, not ${stalledMax}`);
}

/** Without work a head holds nothing for anybody. */
export function checkIdle(name: string, engine: HeadEngine): void {
  const { cache, sequences } = engine.inspect();
  const { numAvailablePages, numPages } = cache.pool;
  check(sequences.length === 0, 'pages', `${name} still has ${sequences.length} sequences`);
  check(numAvailablePages === numPages, 'pages', `${name} has ${numAvailablePages} of ${numPages} pages back`);
  checkPages(name, engine);
}
