import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { OUTPUT_TOKEN_COST, WaitingQueue, type QueuedSequence } from '../waiting-queue.ts';

const LIMITS = { sequencesWaitingMax: 8, tenantWaitingMax: 4, resumedWaitingMax: 2 };

let nextId = 1;
const sequenceOf = (tenant: string, emittedTokens: readonly number[] = []): QueuedSequence => ({
  id: nextId++,
  request: { cacheSalt: tenant, emittedTokens },
});

const newQueue = (limits = LIMITS): WaitingQueue<QueuedSequence> => new WaitingQueue(limits);

/** Takes whoever is next and charges it. */
function serve(queue: WaitingQueue<QueuedSequence>, numTokens: number): QueuedSequence | undefined {
  for (const next of queue.candidates()) {
    queue.take(next, numTokens);
    return next;
  }
  return undefined;
}

const tenantOf = (sequence: QueuedSequence | undefined): string | undefined => sequence?.request.cacheSalt;

describe('the bounds', () => {
  it('are the share of a tenant and the size of the queue', () => {
    const queue = newQueue();
    const addMany = (tenant: string, count: number): string[] =>
      Array.from({ length: count }, () => queue.add(sequenceOf(tenant)));
    expect(addMany('a', 5)).toEqual(['added', 'added', 'added', 'added', 'tenant_full']);
    expect(addMany('b', 4)).toEqual(['added', 'added', 'added', 'added']);
    expect(addMany('c', 1)).toEqual(['queue_full']);
    expect(queue.size).toBe(8);
    serve(queue, 1);
    expect(addMany('c', 2)).toEqual(['added', 'queue_full']);
  });

  it('leave room of its own for streams that go on here, and not without end', () => {
    const queue = newQueue({ ...LIMITS, sequencesWaitingMax: 1 });
    expect(queue.add(sequenceOf('a'))).toBe('added');
    expect(queue.add(sequenceOf('b'))).toBe('queue_full');
    expect([1, 2, 3].map(() => queue.add(sequenceOf('b', [7])))).toEqual(['added', 'added', 'queue_full']);
    // One that was preempted takes no room of theirs, and is always taken back.
    queue.readmit(sequenceOf('b'));
    expect(queue.size).toBe(4);
  });
});

describe('the order', () => {
  it('is that of arrival within a tenant', () => {
    const queue = newQueue();
    const added = [1, 2, 3].map(() => sequenceOf('a'));
    added.forEach((sequence) => queue.add(sequence));
    expect([...queue.candidates()]).toEqual(added);
    expect([1, 2, 3].map(() => serve(queue, 10))).toEqual(added);
  });

  it('puts those that have run before first, the oldest before all', () => {
    const queue = newQueue();
    const preempted = sequenceOf('a');
    const fresh = sequenceOf('b');
    const resumed = sequenceOf('a', [7]);
    queue.add(fresh);
    queue.add(resumed);
    queue.readmit(preempted);
    expect([...queue.candidates()]).toEqual([preempted, resumed, fresh]);
  });

  it('gives a tenant that comes late its turn before the rest of a long queue', () => {
    const queue = newQueue();
    for (let count = 0; count < 4; count++) {
      queue.add(sequenceOf('a'));
    }
    serve(queue, 100);
    queue.add(sequenceOf('b'));
    // It starts where the others are, and the older request is first among equals.
    expect([1, 2, 3].map(() => tenantOf(serve(queue, 100)))).toEqual(['a', 'b', 'a']);
  });

  it('counts the work of sequences that run, not only what was taken', () => {
    const queue = newQueue();
    const running = sequenceOf('a');
    queue.add(running);
    serve(queue, 10);
    queue.add(sequenceOf('a'));
    queue.add(sequenceOf('b'));
    queue.charge(running, 500 * OUTPUT_TOKEN_COST);
    expect([1, 2].map(() => tenantOf(serve(queue, 10)))).toEqual(['b', 'a']);
  });

  it('saves nothing for a tenant that was away', () => {
    const queue = newQueue();
    for (let round = 0; round < 100; round++) {
      queue.add(sequenceOf('busy'));
      serve(queue, 100);
    }
    for (let count = 0; count < 3; count++) {
      queue.add(sequenceOf('idle'));
      queue.add(sequenceOf('busy'));
    }
    // Turn and turn about: neither may make up for what it did not ask for.
    const order = Array.from({ length: 6 }, () => tenantOf(serve(queue, 100)));
    expect(order).toEqual(['idle', 'busy', 'idle', 'busy', 'idle', 'busy']);
  });

  it('passes over a candidate that cannot start, not over its tenant', () => {
    const queue = newQueue();
    const [first, second] = [sequenceOf('a'), sequenceOf('a')];
    queue.add(first);
    queue.add(second);
    const candidates = queue.candidates();
    expect(candidates.next().value).toBe(first);
    expect(candidates.next().value).toBe(second);
    queue.take(second, 1);
    expect(queue.sequences).toEqual([first]);
  });

  it('keeps the service of tenants that always wait within the bound of the paper', () => {
    const costs = fc.array(
      fc.record({ tokens: fc.integer({ min: 1, max: 50 }), output: fc.integer({ min: 0, max: 50 }) }),
      {
        minLength: 30,
        maxLength: 60,
      },
    );
    fc.assert(
      fc.property(costs, (requests) => {
        const queue = newQueue();
        const served = new Map([
          ['a', 0],
          ['b', 0],
        ]);
        ['a', 'b', 'a', 'b'].forEach((tenant) => queue.add(sequenceOf(tenant)));
        for (const { tokens, output } of requests) {
          const next = serve(queue, tokens);
          const tenant = tenantOf(next) ?? '';
          const outputCost = output * OUTPUT_TOKEN_COST;
          queue.charge(next as QueuedSequence, outputCost);
          served.set(tenant, (served.get(tenant) ?? 0) + tokens + outputCost);
          queue.add(sequenceOf(tenant));
        }
        const difference = Math.abs((served.get('a') ?? 0) - (served.get('b') ?? 0));
        expect(difference).toBeLessThanOrEqual(2 * (50 + 50 * OUTPUT_TOKEN_COST));
      }),
    );
  });
});

describe('what is kept', () => {
  it('does not grow with the number of tenants that were ever there', () => {
    const queue = newQueue();
    const heavy = sequenceOf('heavy');
    queue.add(heavy);
    serve(queue, 1_000_000);
    for (let count = 0; count < 3_000; count++) {
      queue.add(sequenceOf(`tenant-${count}`));
      serve(queue, 1);
    }
    // The one that is ahead is remembered: it does not get its turn by coming back.
    ['light', 'heavy', 'light'].forEach((tenant) => queue.add(sequenceOf(tenant)));
    expect([1, 2, 3].map(() => tenantOf(serve(queue, 1)))).toEqual(['light', 'light', 'heavy']);
  });
});
