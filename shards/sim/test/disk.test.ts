import { describe, expect, it } from 'vitest';
import { systemClock } from '../../platform/system.ts';
import { SimDisk } from '../disk.ts';
import { EventQueue } from '../event-queue.ts';
import { Random } from '../random.ts';
import { Trace } from '../trace.ts';

function createDisk(): { disk: SimDisk; flush: () => Promise<void> } {
  const events = new EventQueue({ trace: new Trace(), settle: () => systemClock.yieldToEvents() });
  const disk = new SimDisk({ name: 'disk', events, random: new Random(3), flushMs: 10 });
  return {
    disk,
    flush: () =>
      events.run(
        1_000,
        () => false,
        () => {},
      ),
  };
}

const bytes = (value: number): Uint8Array => new Uint8Array(64).fill(value);

describe('SimDisk', () => {
  it('shows a write at once and keeps it once it is durable', async () => {
    const { disk, flush } = createDisk();
    disk.put('a', bytes(1));
    await flush();
    disk.put('a', bytes(2));
    disk.put('b', bytes(3));
    expect([disk.get('a'), disk.get('b')]).toEqual([bytes(2), bytes(3)]);
    disk.crash();
    expect([disk.get('a'), disk.get('b'), disk.keys()]).toEqual([bytes(1), undefined, ['a']]);
  });

  it('forgets a deletion that was not durable', async () => {
    const { disk, flush } = createDisk();
    disk.put('a', bytes(1));
    await flush();
    disk.delete('a');
    expect([disk.get('a'), disk.keys()]).toEqual([undefined, []]);
    disk.crash();
    expect(disk.get('a')).toEqual(bytes(1));
    disk.delete('a');
    await flush();
    disk.crash();
    expect(disk.keys()).toEqual([]);
  });

  it('tears the write that a kill interrupts, and keeps those before it', () => {
    let numTorn = 0;
    const { disk } = createDisk();
    for (let round = 0; round < 20; round++) {
      const keys = [0, 1, 2, 3].map((i) => `${round}.${i}`);
      for (const key of keys) {
        disk.put(key, bytes(7));
      }
      expect(disk.tearNextWrite()).toBe(true);
      disk.crash();
      const kept = keys.filter((key) => disk.get(key) !== undefined);
      expect(kept).toEqual(keys.slice(0, kept.length));
      expect(kept.length).toBeGreaterThan(0);
      expect(kept.slice(0, -1).every((key) => disk.get(key)?.every((byte) => byte === 7))).toBe(true);
      numTorn += disk.get(kept.at(-1) ?? '')?.includes(0) === true ? 1 : 0;
    }
    expect(numTorn).toBe(20);
    expect(disk.tearNextWrite()).toBe(false);
  });

  it('takes nothing while it is full, a deletion excepted', () => {
    const { disk } = createDisk();
    expect(disk.put('a', bytes(1))).toBe(true);
    disk.isFull = true;
    expect(disk.put('b', bytes(1))).toBe(false);
    disk.delete('a');
    expect(disk.keys()).toEqual([]);
  });
});
