import { describe, expect, it } from 'vitest';
import { systemClock } from '../../platform/system.ts';
import { EventQueue } from '../event-queue.ts';
import { SimProcess } from '../process.ts';
import { Random } from '../random.ts';
import { Trace, TRACE_LINES_MAX } from '../trace.ts';

function createQueue(): { events: EventQueue; trace: Trace } {
  const trace = new Trace();
  return { trace, events: new EventQueue({ trace, settle: () => systemClock.yieldToEvents() }) };
}

const never = (): boolean => false;
const nothing = (): void => {};

describe('EventQueue', () => {
  it('runs events by time, and those of one moment in the order in which they were scheduled', async () => {
    const { events } = createQueue();
    const random = new Random(1);
    const delays = Array.from({ length: 500 }, () => random.between(0, 40));
    const seen: { delay: number; index: number }[] = [];
    for (const [index, delay] of delays.entries()) {
      events.schedule(delay, 'event', () => seen.push({ delay, index }));
    }
    await events.run(1_000, never, nothing);
    expect(seen).toEqual([...seen].sort((a, b) => a.delay - b.delay || a.index - b.index));
    expect(seen).toHaveLength(500);
    expect(events.size).toBe(0);
  });

  it('lets promises come to their end between two events', async () => {
    const { events } = createQueue();
    const seen: string[] = [];
    events.schedule(1, 'first', () => {
      void (async () => {
        for (let i = 0; i < 100; i++) {
          await Promise.resolve();
        }
        seen.push('promises of the first');
      })();
    });
    events.schedule(1, 'second', () => seen.push('second'));
    await events.run(1_000, never, nothing);
    expect(seen).toEqual(['promises of the first', 'second']);
  });

  it('stops in time, when it is told to, and before what was cancelled', async () => {
    const { events } = createQueue();
    const seen: number[] = [];
    for (const delay of [10, 20, 30, 40]) {
      events.schedule(delay, 'event', () => seen.push(delay));
    }
    events.schedule(15, 'cancelled', () => seen.push(15)).cancel();
    await events.run(20, never, nothing);
    expect(events.nowMs).toBe(20);
    await events.run(1_000, () => seen.includes(30), nothing);
    expect(seen).toEqual([10, 20, 30]);
  });
});

describe('SimProcess', () => {
  it('does one thing at a time, and what it computes takes time', async () => {
    const { events } = createQueue();
    const process = new SimProcess('p', events);
    const seen: [string, number][] = [];
    const note = (what: string): void => void seen.push([what, events.nowMs]);
    process.deliver(1, 'a', () => {
      note('a');
      process.slowness = 2;
      process.spend(10);
    });
    process.deliver(2, 'b', () => note('b'));
    process.deliver(21, 'c', () => note('c'));
    await events.run(1_000, never, nothing);
    expect(seen).toEqual([
      ['a', 1],
      ['b', 21],
      ['c', 21],
    ]);
  });

  it('does nothing any more once it is killed', async () => {
    const { events } = createQueue();
    const process = new SimProcess('p', events);
    const seen: string[] = [];
    process.startTimer(5, () => seen.push('timer'));
    void process.yieldToEvents().then(() => seen.push('yield'));
    process.onKilled((reason) => seen.push(reason));
    process.kill('killed');
    await events.run(1_000, never, nothing);
    expect(seen).toEqual(['killed']);
  });

  it('has whole milliseconds and a clock of its own', async () => {
    const { events } = createQueue();
    const process = new SimProcess('p', events);
    process.clockOffsetMs = -100;
    process.startTimer(0.1, nothing);
    await events.run(1_000, never, nothing);
    expect([events.nowMs, process.nowMs()]).toEqual([1, -99]);
  });
});

describe('Trace', () => {
  it('keeps its end and a hash of everything', () => {
    const [a, b, c] = [new Trace(), new Trace(), new Trace()];
    for (let i = 0; i <= TRACE_LINES_MAX; i++) {
      a.add(i, 'event');
      b.add(i, 'event');
      c.add(i, i === 0 ? 'another' : 'event');
    }
    expect(a.last()).toHaveLength(TRACE_LINES_MAX);
    expect(a.last()[0]).toBe('1.000 event');
    expect(a.hash).toBe(b.hash);
    expect(a.last()).toEqual(c.last());
    expect(a.hash).not.toBe(c.hash);
  });
});
