import { describe, expect, it } from 'vitest';
import { ManualClock } from '../../../ops/testing/manual-clock.ts';
import { RETRY_AFTER_MS_MAX, RETRY_AFTER_MS_MIN, WaitEstimate } from '../wait-estimate.ts';

/** Steps of `work` every `stepMs`. */
async function measure(numSteps: number, work: number, stepMs: number) {
  const clock = new ManualClock();
  const estimate = new WaitEstimate(clock);
  for (let step = 0; step < numSteps; step++) {
    estimate.noteStep(work);
    await clock.wind(stepMs);
  }
  return { clock, estimate };
}

describe('the wait', () => {
  it('is the shortest before anything was measured', () => {
    expect(new WaitEstimate(new ManualClock()).waitMs(1e9)).toBe(RETRY_AFTER_MS_MIN);
  });

  it('is the work over the measured rate, within its bounds', async () => {
    // 50 units in 100 ms: half a unit a millisecond.
    const { estimate } = await measure(200, 50, 100);
    expect(estimate.waitMs(5_000)).toBeGreaterThan(9_900);
    expect(estimate.waitMs(5_000)).toBeLessThan(10_100);
    expect(estimate.waitMs(1)).toBe(RETRY_AFTER_MS_MIN);
    expect(estimate.waitMs(1_000_000)).toBe(RETRY_AFTER_MS_MAX);
  });

  it('does not take a pause for slow work', async () => {
    const { clock, estimate } = await measure(200, 50, 100);
    const before = estimate.waitMs(5_000);
    await clock.wind(600_000);
    estimate.noteStep(50);
    expect(estimate.waitMs(5_000)).toBe(before);
  });

  it('follows a rate that changes', async () => {
    const { clock, estimate } = await measure(600, 50, 100);
    for (let step = 0; step < 600; step++) {
      estimate.noteStep(25);
      await clock.wind(100);
    }
    expect(estimate.waitMs(5_000)).toBeGreaterThan(16_000);
  });
});

describe('the length of an answer', () => {
  it('is that of the last ones, and at most what is allowed', () => {
    const estimate = new WaitEstimate(new ManualClock());
    expect(estimate.outputTokens(1_024)).toBe(128);
    expect(estimate.outputTokens(16)).toBe(16);
    for (let count = 0; count < 200; count++) {
      estimate.noteAnswer(40);
    }
    expect(Math.round(estimate.outputTokens(1_024))).toBe(40);
  });
});
