import { describe, expect, it } from 'vitest';
import { FIRST_STEPS, StepDeadline } from '../step-deadline.ts';

const BOUNDS = { stepDeadlineMsMin: 100, stepDeadlineMsMax: 10_000 };

/** Steps one after the other, each of them back after `msOf(numTokens)`. @returns the deadline of the next one */
function run(deadline: StepDeadline, sizes: readonly number[], msOf: (numTokens: number) => number): void {
  let nowMs = 0;
  for (const numTokens of sizes) {
    const timed = deadline.sent(numTokens, 0, nowMs);
    nowMs += msOf(numTokens);
    deadline.received(timed, nowMs);
  }
}

const next = (deadline: StepDeadline, numTokens: number, numOperations = 0): number =>
  deadline.sent(numTokens, numOperations, 0).deadlineMs;

const times = (count: number, numTokens: number): number[] => Array.from({ length: count }, () => numTokens);

describe('the deadline of a step', () => {
  it('is the longest one for the first steps', () => {
    const deadline = new StepDeadline(BOUNDS);
    run(deadline, times(FIRST_STEPS, 1), () => 3000);
    expect(next(deadline, 1)).toBe(BOUNDS.stepDeadlineMsMax);
  });

  it('then follows the time that steps take, and forgets the first ones', () => {
    const quick = new StepDeadline(BOUNDS);
    const slow = new StepDeadline(BOUNDS);
    for (const [deadline, ms] of [
      [quick, 40],
      [slow, 80],
    ] as const) {
      run(deadline, times(FIRST_STEPS, 1), () => 5000);
      run(deadline, times(40, 1), () => ms);
    }
    const quickMs = next(quick, 1);
    expect(quickMs).toBeGreaterThan(40);
    expect(quickMs).toBeLessThan(1000);
    expect(next(slow, 1)).toBeCloseTo(2 * quickMs);
  });

  it('never leaves its bounds', () => {
    const quick = new StepDeadline(BOUNDS);
    run(quick, times(50, 1), () => 0.01);
    expect(next(quick, 1)).toBe(BOUNDS.stepDeadlineMsMin);
    const slow = new StepDeadline(BOUNDS);
    run(slow, times(50, 1), () => 60_000);
    expect(next(slow, 1)).toBe(BOUNDS.stepDeadlineMsMax);
  });

  it('is longer for more tokens, for page operations, and behind other steps', () => {
    const after = (): StepDeadline => {
      const deadline = new StepDeadline(BOUNDS);
      run(deadline, times(50, 1), () => 40);
      return deadline;
    };
    const single = next(after(), 1);
    expect(next(after(), 3)).toBeCloseTo(2 * single);
    expect(next(after(), 1, 32)).toBeCloseTo(2 * single);
    const busy = after();
    const [first, second, third] = [busy.sent(1, 0, 0), busy.sent(1, 0, 0), busy.sent(1, 0, 0)];
    expect(third.deadlineMs).toBeCloseTo(3 * single);
    // What came back in its share of the time changes nothing.
    [first, second, third].forEach((timed, i) => busy.received(timed, 40 * (i + 1)));
    expect(next(busy, 1)).toBeLessThan(1.1 * single);
  });

  it('grows when steps become irregular', () => {
    const steady = new StepDeadline(BOUNDS);
    run(steady, times(60, 1), () => 50);
    const irregular = new StepDeadline(BOUNDS);
    let step = 0;
    run(irregular, times(60, 1), () => (step++ % 2 === 0 ? 20 : 80));
    expect(next(irregular, 1)).toBeGreaterThan(1.5 * next(steady, 1));
  });
});
