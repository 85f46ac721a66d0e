import { describe, expect, it } from 'vitest';
import { mergeConcurrently } from './merge.ts';

interface Log {
  numRunning: number;
  numRunningMax: number;
  ended: number[];
}

/** Sources that yield `values` and write down when they start and end. */
function sources(log: Log, lists: readonly (readonly (string | Error)[])[]) {
  return lists.map(
    (values, index) =>
      async function* () {
        log.numRunning++;
        log.numRunningMax = Math.max(log.numRunningMax, log.numRunning);
        try {
          for (const value of values) {
            await Promise.resolve();
            if (value instanceof Error) {
              throw value;
            }
            yield value;
          }
        } finally {
          log.numRunning--;
          log.ended.push(index);
        }
      },
  );
}

const newLog = (): Log => ({ numRunning: 0, numRunningMax: 0, ended: [] });
const settle = (): Promise<void> =>
  new Promise((resolve) => {
    setImmediate(resolve);
  });

describe('mergeConcurrently', () => {
  it('yields every value of every source, each source in order, no more at a time than allowed', async () => {
    const log = newLog();
    const lists = [['a', 'b', 'c'], [], ['d'], ['e', 'f'], ['g']];
    const got = lists.map((): string[] => []);
    for await (const { index, value } of mergeConcurrently(sources(log, lists), 2)) {
      got[index]?.push(value);
    }
    expect(got).toEqual(lists);
    expect(log.numRunningMax).toBe(2);
    expect([...log.ended].sort((a, b) => a - b)).toEqual([0, 1, 2, 3, 4]);
  });

  it('throws what the first failing source throws and ends the others', async () => {
    const log = newLog();
    const merged = mergeConcurrently(
      sources(log, [
        ['a', new Error('broken')],
        ['b', 'c', 'd', 'e', 'f', 'g'],
      ]),
      2,
    );
    const drain = async (): Promise<void> => {
      for await (const _ of merged) {
        // Only the end matters.
      }
    };
    await expect(drain()).rejects.toThrow('broken');
    await settle();
    expect(log.numRunning).toBe(0);
  });

  it('ends all sources when the reader leaves', async () => {
    const log = newLog();
    for await (const _ of mergeConcurrently(sources(log, [['a', 'b'], ['c', 'd'], ['e']]), 2)) {
      break;
    }
    await settle();
    expect(log.numRunning).toBe(0);
    expect(log.numRunningMax).toBe(2);
  });
});
