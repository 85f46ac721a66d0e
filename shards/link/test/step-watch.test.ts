import { describe, expect, it } from 'vitest';
import { ManualClock } from '../../../ops/testing/manual-clock.ts';
import { StepWatch } from '../step-watch.ts';

function watched(): { readonly clock: ManualClock; readonly watch: StepWatch; readonly late: number[] } {
  const clock = new ManualClock();
  const late: number[] = [];
  return { clock, watch: new StepWatch(clock, (stepId) => late.push(stepId)), late };
}

describe('a watch over steps', () => {
  it('tells of a step at its deadline, not before it', async () => {
    const { clock, watch, late } = watched();
    watch.add(1, clock.nowMs(), 100);
    await clock.wind(99);
    expect(late).toEqual([]);
    await clock.wind(1);
    expect(late).toEqual([1]);
  });

  it('tells of the step that is due first, whichever left first', async () => {
    const { clock, watch, late } = watched();
    watch.add(1, clock.nowMs(), 1000);
    watch.add(2, clock.nowMs(), 100);
    await clock.wind(100);
    expect(late).toEqual([2]);
    await clock.wind(2000);
    expect(late).toEqual([2]);
  });

  it('winds one timer for however many steps that come back', async () => {
    const { clock, watch, late } = watched();
    for (let stepId = 1; stepId <= 50; stepId++) {
      watch.add(stepId, clock.nowMs(), 100);
      expect(clock.numTimers).toBe(1);
      await clock.wind(7);
      watch.remove(stepId);
    }
    watch.add(51, clock.nowMs(), 100);
    await clock.wind(99);
    expect(late).toEqual([]);
    await clock.wind(1);
    expect(late).toEqual([51]);
  });

  it('rests when nothing is on its way, and when it has ended', async () => {
    const { clock, watch, late } = watched();
    watch.add(1, clock.nowMs(), 100);
    watch.remove(1);
    await clock.wind(100);
    expect(clock.numTimers).toBe(0);
    watch.add(2, clock.nowMs(), 100);
    watch.end();
    expect(clock.numTimers).toBe(0);
    await clock.wind(1000);
    expect(late).toEqual([]);
  });
});
