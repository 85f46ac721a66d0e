import { describe, expect, it } from 'vitest';
import { ManualClock, settled } from '../../../ops/testing/manual-clock.ts';
import { FeaturePace, type TurnGrant } from '../feature-pace.ts';

const WAIT_MS = 100;

function setUp() {
  const clock = new ManualClock();
  const pace = new FeaturePace(clock, { stepWaitMsMax: WAIT_MS });
  const grants: TurnGrant[] = [];
  const ask = async (): Promise<void> => {
    grants.push(await pace.nextTurn());
  };
  return { clock, pace, grants, ask };
}

describe('the pace of features', () => {
  it('is free while nobody streams', async () => {
    const { grants, ask } = setUp();
    await ask();
    await ask();
    expect(grants).toEqual([{ kind: 'idle' }, { kind: 'idle' }]);
  });

  it('is one turn for each step, of its size, and unused turns are lost', async () => {
    const { pace, grants, ask } = setUp();
    pace.stepsBegin();
    const waiting = ask();
    await settled();
    expect(grants).toEqual([]);
    pace.stepSent(3);
    await waiting;
    pace.stepSent(5);
    pace.stepSent(7);
    await ask();
    const late = ask();
    await settled();
    expect(grants).toEqual([
      { kind: 'step', numTokens: 3 },
      { kind: 'step', numTokens: 7 },
    ]);
    pace.stepsEnd();
    await late;
    expect(grants.at(-1)).toEqual({ kind: 'idle' });
  });

  it('goes on slowly when no step comes', async () => {
    const { clock, pace, grants, ask } = setUp();
    pace.stepsBegin();
    const waiting = ask();
    await clock.wind(WAIT_MS - 1);
    expect(grants).toEqual([]);
    await clock.wind(1);
    await waiting;
    expect(grants).toEqual([{ kind: 'step', numTokens: 1 }]);
  });
});
