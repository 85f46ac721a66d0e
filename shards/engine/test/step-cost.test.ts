import { describe, expect, it } from 'vitest';
import { ManualClock } from '../../../ops/testing/manual-clock.ts';
import { DraftController } from '../draft-controller.ts';
import { MATCH_LENGTH_MAX } from '../draft-index.ts';
import type { MicroBatch } from '../micro-batch.ts';
import { StepCost } from '../step-cost.ts';
import { StepTimer } from '../step-timer.ts';

const TOKENS = [1, 2, 3, 4, 8];

/** After many steps that take `fixedMs` and `tokenMs` for the arithmetic of a token alone. */
function measured(fixedMs: number, tokenMs: number, numSteps = 500): StepCost {
  const cost = new StepCost();
  const arithmetic = new StepCost();
  for (let step = 0; step < numSteps; step++) {
    const numTokens = TOKENS[step % TOKENS.length] as number;
    cost.note(numTokens, fixedMs + tokenMs * arithmetic.of(numTokens));
  }
  return cost;
}

function costs(cost: StepCost): number[] {
  return TOKENS.map((numTokens) => Math.round(cost.of(numTokens) * 100) / 100);
}

describe('StepCost', () => {
  it('is that of tiles of four tokens and of what is left over, before anything was measured', () => {
    const cost = new StepCost();
    expect(costs(cost)).toEqual([1, 1.3, 2.3, 2.2, 4.4]);
    expect(cost.of(11)).toBeCloseTo(cost.of(8) + cost.of(3));
  });

  it('makes a draft of two tokens never better than one of three that is right', () => {
    const cost = new StepCost();
    const controller = new DraftController(cost.of.bind(cost));
    for (let i = 0; i < 50; i++) {
      controller.record(MATCH_LENGTH_MAX, true);
    }
    expect(controller.chooseLength(MATCH_LENGTH_MAX, 3, 1)).toBe(3);
    expect(controller.chooseLength(MATCH_LENGTH_MAX, 2, 1)).toBe(1);
  });

  it('learns what a step costs beside its tokens', () => {
    expect(measured(0, 5).of(4)).toBeCloseTo(2.2);
    // Half of a step of one token is fixed: the measured share is close to it, but for the caution of the beginning.
    expect(measured(5, 5).of(4)).toBeGreaterThan(1.6);
    expect(measured(5, 5).of(4)).toBeLessThan(1.75);
    expect(measured(5, 5).of(1)).toBeCloseTo(1);
  });

  it('believes a few steps little, and no share that is beyond reason', () => {
    expect(measured(5, 5, 5).of(4)).toBeGreaterThan(2);
    expect(measured(500, 1).of(8)).toBeGreaterThan(1.8);
    expect(measured(-3, 8).of(4)).toBeLessThan(2.9);
    expect(measured(-3, 8).of(4)).toBeGreaterThan(2.5);
  });

  it('takes no notice of a clock that stood still, and little of a step that waited', () => {
    const cost = measured(5, 5);
    const before = cost.of(4);
    cost.note(4, 0);
    expect(cost.of(4)).toBe(before);
    cost.note(1, 60_000);
    expect(cost.of(4)).toBeGreaterThan(before - 0.2);
  });

  it('follows a machine that becomes another one', () => {
    const cost = measured(5, 5);
    for (let step = 0; step < 400; step++) {
      cost.note(1, 10);
      cost.note(4, 22);
    }
    expect(cost.of(4)).toBeCloseTo(2.2, 1);
  });
});

describe('StepTimer', () => {
  /** A step of `numTokens`, of which `numRows` choose a next token. */
  function batchOf(numTokens: number, numRows = numTokens, numOperations = 0): MicroBatch {
    return {
      scheduled: [],
      operations: Array.from({ length: numOperations }),
      step: { pageOperations: [], sequences: [], tokenIds: Array.from({ length: numTokens }, () => 1) },
      resultRows: Array.from({ length: numRows }),
    } as unknown as MicroBatch;
  }

  async function timesOf(batch: MicroBatch, isAlone = true, next: MicroBatch | null = null): Promise<number[]> {
    const clock = new ManualClock();
    const noted: number[] = [];
    class NotingCost extends StepCost {
      override note(_numTokens: number, ms: number): void {
        noted.push(ms);
      }
    }
    const timer = new StepTimer(clock, new NotingCost());
    timer.begin(batch, isAlone);
    await clock.wind(7);
    if (next !== null) {
      timer.begin(next, false);
    }
    timer.end(batch);
    timer.end(batch);
    return noted;
  }

  it('times a step that does nothing but decode, once', async () => {
    expect(await timesOf(batchOf(4))).toEqual([7]);
  });

  it('leaves alone what tells nothing: prompts, page operations, steps beside others', async () => {
    expect(await timesOf(batchOf(4, 1))).toEqual([]);
    expect(await timesOf(batchOf(1, 1, 1))).toEqual([]);
    expect(await timesOf(batchOf(1), false)).toEqual([]);
    expect(await timesOf(batchOf(1), true, batchOf(1))).toEqual([]);
  });
});
