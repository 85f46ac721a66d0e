import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  FirstTokenTimes,
  HEDGE_DELAY_MS_MIN,
  mayHedge,
  TTFT_AGE_MS_MAX,
  TTFT_SAMPLES_MAX,
  TTFT_SAMPLES_MIN,
} from './hedge.ts';

const MODEL = 'lamina-pro';

function timesOf(values: readonly number[], nowMs = () => 0): FirstTokenTimes {
  const times = new FirstTokenTimes(nowMs);
  values.forEach((value) => times.saw(MODEL, value));
  return times;
}

describe('the delay of a hedge', () => {
  it('is unknown with one time fewer than it takes, and for another model', () => {
    const values = Array.from({ length: TTFT_SAMPLES_MIN }, () => 500);
    expect(timesOf(values.slice(1)).hedgeDelayMs(MODEL)).toBeNull();
    expect(timesOf(values).hedgeDelayMs(MODEL)).toBe(500);
    expect(timesOf(values).hedgeDelayMs('other')).toBeNull();
  });

  it('is later than all but a twentieth of the last times, and never too short', () => {
    const values = fc.array(fc.integer({ min: 0, max: 60_000 }), { minLength: TTFT_SAMPLES_MIN, maxLength: 300 });
    fc.assert(
      fc.property(values, (list) => {
        const delayMs = timesOf(list).hedgeDelayMs(MODEL) as number;
        const window = list.slice(-TTFT_SAMPLES_MAX);
        const numAbove = window.filter((value) => value > delayMs).length;
        const numBelow = window.filter((value) => value < delayMs).length;
        expect(numAbove).toBeLessThanOrEqual(window.length / 20);
        expect(delayMs).toBeGreaterThanOrEqual(HEDGE_DELAY_MS_MIN);
        expect(delayMs === HEDGE_DELAY_MS_MIN || numBelow < 0.95 * window.length).toBe(true);
      }),
    );
  });

  it('forgets what is too old and what is too many', () => {
    let nowMs = 0;
    const times = timesOf(
      Array.from({ length: TTFT_SAMPLES_MIN }, () => 900),
      () => nowMs,
    );
    nowMs = TTFT_AGE_MS_MAX - 1;
    expect(times.hedgeDelayMs(MODEL)).toBe(900);
    nowMs = TTFT_AGE_MS_MAX;
    expect(times.hedgeDelayMs(MODEL)).toBeNull();
    const many = [900, 900].flatMap((value) => Array.from({ length: TTFT_SAMPLES_MAX / 2 }, () => value));
    const later = timesOf(many);
    for (let index = 0; index < TTFT_SAMPLES_MAX; index++) {
      later.saw(MODEL, 100);
    }
    expect(later.hedgeDelayMs(MODEL)).toBe(100);
  });

  it('does not shrink by calls that were given up: the late ones count, the early ones do not', () => {
    const times = timesOf(Array.from({ length: 20 }, () => 100));
    for (let index = 0; index < 20; index++) {
      times.gaveUp(MODEL, 99);
    }
    expect(times.hedgeDelayMs(MODEL)).toBe(100);
    times.gaveUp(MODEL, 300);
    times.gaveUp(MODEL, 300);
    expect(times.hedgeDelayMs(MODEL)).toBe(300);
  });
});

describe('a second origin', () => {
  const model = { hedging: { enabled: true }, contextLength: 100 };
  const idle = {
    waitMs: 0,
    load: 0,
    breaker: { state: 'closed' as const },
    slots: { hasFreeSlot: true },
    config: { concurrency: 4 },
  };

  it.each([
    ['is asked', {}, 100, true],
    ['is asked below half of its concurrency', { load: 1 }, 1, true],
    ['is not at half of it', { load: 2 }, 1, false],
    ['is asked with one slot that is free', { config: { concurrency: 1 } }, 1, true],
    ['is not without a free slot', { slots: { hasFreeSlot: false } }, 1, false],
    ['is not while it is left alone', { waitMs: 1 }, 1, false],
    ['is not for the trial of its breaker', { breaker: { state: 'open' as const } }, 1, false],
    ['is not when the prompt may be too long', {}, 101, false],
  ])('%s', (_name, changes, promptTokens, expected) => {
    expect(mayHedge({ ...idle, ...changes }, model, promptTokens)).toBe(expected);
  });

  it('has the model, with hedging switched on; its context need not be known', () => {
    expect(mayHedge(idle, { hedging: { enabled: true } }, 1_000_000)).toBe(true);
    expect(mayHedge(idle, { hedging: { enabled: false } }, 1)).toBe(false);
    expect(mayHedge(idle, undefined, 1)).toBe(false);
  });
});
