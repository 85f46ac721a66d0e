import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { AbortedError } from '../../shards/client/abort.ts';
import { ManualClock, settled } from '../../ops/testing/manual-clock.ts';
import type { Priority } from './origin-backend.ts';
import { OriginSlots, QUEUED_TOKENS_MAX, RETRY_AFTER_MS_MAX, type Lease } from './origin-slots.ts';

const LIMITS = { concurrency: 1, queueMax: 2, leaseMsMax: 100_000 };
const { signal: never } = new AbortController();

function setUp(limits = LIMITS) {
  const clock = new ManualClock();
  const slots = new OriginSlots(clock, limits);
  const order: string[] = [];
  const ask = (name: string, priority: Priority = 'normal', promptTokens = 1, signal = never) =>
    slots.acquire(priority, promptTokens, 1000, signal).then((result) => {
      order.push(typeof result === 'string' ? `${name}: ${result}` : name);
      return result;
    });
  return { clock, slots, order, ask };
}

describe('OriginSlots', () => {
  it('runs as many as it may, lets as many wait as it may, and not one more', async () => {
    const { slots, order, ask } = setUp();
    const first = (await ask('first')) as Lease;
    void ask('second');
    void ask('third');
    await ask('fourth');
    expect(order).toEqual(['first', 'fourth: full']);
    expect([slots.inFlight, slots.waiting, slots.hasRoomFor('normal', 1)]).toEqual([1, 2, false]);
    first.release();
    first.release();
    await settled();
    expect([slots.inFlight, slots.waiting, order.at(-1)]).toEqual([1, 1, 'second']);
  });

  it('serves higher classes first, and takes the place of the last of a lower class', async () => {
    const { order, ask } = setUp();
    const first = (await ask('first')) as Lease;
    void ask('low', 'low');
    void ask('normal');
    const high = ask('high', 'high');
    await settled();
    expect(order).toEqual(['first', 'low: displaced']);
    first.release();
    ((await high) as Lease).release();
    await settled();
    expect(order).toEqual(['first', 'low: displaced', 'high', 'normal']);
  });

  it('bounds the prompt tokens that wait, but lets a single request in', async () => {
    const { order, ask } = setUp();
    await ask('first');
    void ask('huge', 'normal', QUEUED_TOKENS_MAX * 2);
    await ask('second', 'normal', 1);
    expect(order).toEqual(['first', 'second: full']);
  });

  it('ends the wait when the time is up, the origin is given up, or the client leaves', async () => {
    const { clock, slots, order, ask } = setUp();
    await ask('first');
    void ask('slow');
    await clock.wind(1000);
    void ask('moved');
    await settled();
    slots.moveWaiters();
    const controller = new AbortController();
    const gone = ask('gone', 'normal', 1, controller.signal);
    await settled();
    controller.abort();
    await expect(gone).rejects.toBeInstanceOf(AbortedError);
    expect(order).toEqual(['first', 'slow: timeout', 'moved: moved']);
    expect([slots.waiting, clock.numTimers]).toEqual([0, 0]);
  });

  it('takes a slot back that is never released', async () => {
    const { clock, slots, ask } = setUp();
    await ask('lost');
    await clock.wind(LIMITS.leaseMsMax - 1);
    expect(slots.hasFreeSlot).toBe(false);
    await clock.wind(1);
    expect(slots.hasFreeSlot).toBe(true);
  });

  it('tells by the durations seen when to come back, within a second and a minute', async () => {
    const { clock, slots, ask } = setUp();
    expect(slots.retryAfterMs).toBe(1000);
    const lease = (await ask('first')) as Lease;
    await clock.wind(20_000);
    lease.release();
    expect(slots.retryAfterMs).toBe(20_000);
    await ask('second');
    void ask('third');
    void ask('fourth');
    await settled();
    expect(slots.retryAfterMs).toBe(RETRY_AFTER_MS_MAX);
  });

  it('never runs more than it may, loses nobody, and ends empty', async () => {
    const requests = fc.array(
      fc.record({
        priority: fc.constantFrom<Priority>('high', 'normal', 'low'),
        durationMs: fc.integer({ min: 1, max: 2000 }),
        leaveAfterMs: fc.option(fc.nat(2000)),
      }),
      { maxLength: 25 },
    );
    await fc.assert(
      fc.asyncProperty(requests, async (list) => {
        const clock = new ManualClock();
        const slots = new OriginSlots(clock, { ...LIMITS, concurrency: 3, queueMax: 5 });
        let numSettled = 0;
        for (const { priority, durationMs, leaveAfterMs } of list) {
          const controller = new AbortController();
          if (leaveAfterMs !== null) {
            clock.startTimer(leaveAfterMs, () => controller.abort());
          }
          const run = async (): Promise<void> => {
            const result = await slots.acquire(priority, 1, 1500, controller.signal);
            if (typeof result === 'object') {
              expect(slots.inFlight).toBeLessThanOrEqual(3);
              clock.startTimer(durationMs, () => result.release());
            }
          };
          void run()
            .catch((error: unknown) => expect(error).toBeInstanceOf(AbortedError))
            .finally(() => numSettled++);
        }
        await clock.wind(100_000);
        expect([numSettled, slots.inFlight, slots.waiting]).toEqual([list.length, 0, 0]);
      }),
      { numRuns: 30 },
    );
  });
});
