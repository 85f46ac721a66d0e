import { describe, expect, it } from 'vitest';
import { ManualClock } from '../../../ops/testing/manual-clock.ts';
import { requestOf } from '../../test/tiny-ring.ts';
import { PagePool } from '../../kv/page-pool.ts';
import { Listeners, type EventSink } from '../listeners.ts';
import type { GenerateEvent } from '../protocol.ts';
import { PULSE_MS, SILENCE_MS_MAX, SILENCE_MS_MIN } from '../pulse.ts';
import { Sequence } from '../sequence.ts';

const LOAD = { numRunning: 0, numWaiting: 1 };

class RecordingSink implements EventSink {
  isFull = false;
  readonly events: GenerateEvent[] = [];
  write(event: GenerateEvent): void {
    this.events.push(event);
  }
  end(): void {}
}

/** A clock that can be busy: what was due meanwhile happens late. */
class BusyClock extends ManualClock {
  #busyMs = 0;

  override nowMs(): number {
    return super.nowMs() + this.#busyMs;
  }

  /** Computes for `ms`, during which nothing else happens. */
  spend(ms: number): void {
    this.#busyMs += ms;
  }
}

function setUp() {
  const clock = new BusyClock();
  const listeners = new Listeners({ clock, readerStallMs: 60_000, onStalled: () => {} });
  const sequence = new Sequence(1, requestOf(), new PagePool(8));
  const sink = new RecordingSink();
  listeners.accept(sequence, sink, LOAD);
  return { clock, listeners, sequence, sink };
}

const token: GenerateEvent = { type: 'token', tokenId: 1, logprob: null };
const typesOf = ({ events }: RecordingSink): string[] => events.map(({ type }) => type);

describe('a listener', () => {
  it('hears that its sequence was taken, and then that the head is alive', async () => {
    const { clock, sink } = setUp();
    expect(sink.events).toEqual([{ type: 'accepted', load: LOAD, nextWithinMs: SILENCE_MS_MIN }]);
    await clock.wind(2 * PULSE_MS);
    expect(typesOf(sink)).toEqual(['accepted', 'alive']);
    await clock.wind(PULSE_MS);
    expect(typesOf(sink)).toEqual(['accepted', 'alive', 'alive']);
  });

  it('hears no sign of life beside events, or when it does not read', async () => {
    const { clock, listeners, sequence, sink } = setUp();
    for (let round = 0; round < 3; round++) {
      await clock.wind(PULSE_MS - 1);
      listeners.write(sequence, token);
      await clock.wind(1);
    }
    sink.isFull = true;
    await clock.wind(3 * PULSE_MS);
    expect(typesOf(sink)).toEqual(['accepted', 'token', 'token', 'token']);
  });

  it('leaves no timer behind', async () => {
    const { clock, listeners, sequence, sink } = setUp();
    listeners.end(sequence);
    await clock.wind(PULSE_MS);
    expect(clock.numTimers).toBe(0);
    listeners.accept(sequence, sink, LOAD);
    await clock.wind(2 * PULSE_MS);
    expect(typesOf(sink)).toEqual(['accepted', 'accepted', 'alive']);
  });

  it('is told to expect longer silences of a head that computes for long, for a while', async () => {
    const { clock, sink } = setUp();
    const lastWithinMs = (): number => (sink.events.at(-1) as { nextWithinMs: number }).nextWithinMs;
    clock.spend(5_000 + PULSE_MS);
    await clock.wind(2 * PULSE_MS);
    const soon = lastWithinMs();
    expect(soon).toBeGreaterThan(4 * 5_000);
    expect(soon).toBeLessThan(SILENCE_MS_MAX);
    await clock.wind(3 * PULSE_MS);
    expect(lastWithinMs()).toBeLessThan(soon);
    await clock.wind(30 * PULSE_MS);
    expect(lastWithinMs()).toBe(SILENCE_MS_MIN);
    // As when its clock is set.
    clock.spend(15 * 60_000);
    await clock.wind(PULSE_MS);
    expect(lastWithinMs()).toBe(SILENCE_MS_MAX);
  });
});
