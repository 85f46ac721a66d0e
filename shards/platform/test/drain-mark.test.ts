import { describe, expect, it } from 'vitest';
import { DRAIN_MS_MAX, DrainMark } from '../drain-mark.ts';

describe('a drain mark', () => {
  it('outlives the object and ends by itself, or when it is cleared', () => {
    const storage = new Map<string, unknown>();
    const keyValues = {
      get: (key: string) => storage.get(key),
      put: (key: string, value: number) => void storage.set(key, value),
      delete: (key: string) => storage.delete(key),
    };
    let nowMs = 1_000;
    const newMark = (): DrainMark => new DrainMark(keyValues, () => nowMs);
    expect(newMark().isSet).toBe(false);
    newMark().set();
    nowMs += DRAIN_MS_MAX - 1;
    expect(newMark().isSet).toBe(true);
    nowMs += 1;
    expect(newMark().isSet).toBe(false);
    newMark().set();
    newMark().clear();
    expect(newMark().isSet).toBe(false);
    expect(storage.size).toBe(0);
  });
});
