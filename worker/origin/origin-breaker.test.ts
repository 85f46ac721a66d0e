import * as fc from 'fast-check';
import { beforeEach, describe, expect, it } from 'vitest';
import { settled } from '../../ops/testing/manual-clock.ts';
import { OriginBreaker, type Outcome } from './origin-breaker.ts';

const LIMITS = {
  failuresInRow: 3,
  failureRatio: 0.5,
  samples: 20,
  samplesMin: 10,
  openMs: [1000, 5000],
  trialMsMax: 60_000,
} as const;

let nowMs: number;
let numOpened: number;
let breaker: OriginBreaker;

beforeEach(() => {
  nowMs = 0;
  numOpened = 0;
  breaker = new OriginBreaker(
    () => nowMs,
    () => numOpened++,
    LIMITS,
  );
});

async function attempt(...outcomes: readonly Outcome[]): Promise<void> {
  for (const outcome of outcomes) {
    breaker.begin()(outcome);
    await settled();
  }
}

describe('OriginBreaker', () => {
  it('opens at so many failures in a row, and not one before', async () => {
    await attempt('failure', 'failure', 'success', 'failure', 'failure');
    expect(breaker.state).toBe('closed');
    await attempt('failure');
    expect([breaker.state, breaker.waitMs, numOpened]).toEqual(['open', 1000, 1]);
  });

  it('opens when more than the ratio failed of enough attempts', async () => {
    await attempt('failure', 'success', 'failure', 'success', 'failure', 'success', 'failure', 'success');
    await attempt('failure');
    expect(breaker.state).toBe('closed');
    await attempt('failure');
    expect(breaker.state).toBe('open');
  });

  it('does not hold against an origin what is not known', async () => {
    await attempt('unknown', 'unknown', 'unknown', 'unknown');
    expect(breaker.state).toBe('closed');
  });

  it('lets one request try, and closes when that goes well', async () => {
    await attempt('failure', 'failure', 'failure');
    nowMs = 1000;
    expect(breaker.waitMs).toBe(0);
    const report = breaker.begin();
    expect([breaker.state, breaker.waitMs]).toEqual(['half_open', LIMITS.trialMsMax]);
    report('success');
    await settled();
    expect([breaker.state, breaker.waitMs]).toEqual(['closed', 0]);
  });

  it('stays open longer each time that the trial fails or shows nothing, up to a bound', async () => {
    await attempt('failure', 'failure', 'failure');
    for (const outcome of ['failure', 'unknown', 'failure'] as const) {
      nowMs += breaker.waitMs;
      await attempt(outcome);
      expect([breaker.state, breaker.waitMs]).toEqual(['open', 5000]);
    }
  });

  it('lets another try when a trial never reports', async () => {
    await attempt('failure', 'failure', 'failure');
    nowMs = 1000;
    breaker.begin();
    nowMs += LIMITS.trialMsMax;
    expect(breaker.waitMs).toBe(0);
    const report = breaker.begin();
    expect(breaker.waitMs).toBe(LIMITS.trialMsMax);
    report('success');
    await settled();
    expect(breaker.state).toBe('closed');
  });

  it('counts a cut while it is closed, and leaves an open one alone', async () => {
    for (let index = 0; index < 3; index++) {
      breaker.sawCut();
      await settled();
    }
    expect(breaker.waitMs).toBe(1000);
    nowMs = 1000;
    breaker.sawCut();
    await settled();
    expect([breaker.state, breaker.waitMs]).toEqual(['open', 0]);
  });

  it('never has two trials at a time, whatever happens', async () => {
    const events = fc.array(
      fc.constantFrom('success', 'failure', 'unknown', 'wait') as fc.Arbitrary<Outcome | 'wait'>,
      {
        maxLength: 30,
      },
    );
    await fc.assert(
      fc.asyncProperty(events, async (list) => {
        const tested = new OriginBreaker(() => nowMs, undefined, LIMITS);
        for (const event of list) {
          if (event === 'wait') {
            nowMs += 2000;
          } else if (tested.waitMs === 0) {
            const isTrial = tested.state !== 'closed';
            const report = tested.begin();
            expect(tested.state === 'half_open').toBe(isTrial);
            expect(tested.waitMs > 0).toBe(isTrial);
            report(event);
            await settled();
            expect(tested.state).not.toBe('half_open');
          }
        }
      }),
      { numRuns: 30 },
    );
  });
});
