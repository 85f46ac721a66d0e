import { describe, expect, it } from 'vitest';
import { PAGE_SIZE_TOKENS } from '../../../wasm/host/stage-runtime.ts';
import { promptOf } from '../../test/tiny-ring.ts';
import type { ScheduledSequence } from '../scheduler.ts';
import type { Sequence } from '../sequence.ts';
import { nextTokenOf, World } from './page-world.ts';

const LIMITS = {
  numTokensMax: 24,
  sequencesRunningMax: 4,
  sequencesWaitingMax: 6,
  tenantWaitingMax: 6,
  resumedWaitingMax: 4,
  stepsInFlightMax: 1,
  draftStepTokensMax: 1,
  sequenceTokensMax: 8 * PAGE_SIZE_TOKENS,
};
/** Two sequences of the longest kind do not fit, so that pages run out. */
const NUM_PAGES = 8;
const TOKENS_MAX = 100;

/** A world whose sequences have nothing in common unless a test wants it. */
class Arrivals extends World {
  constructor(stepsInFlightMax = 1, draftStepTokensMax = 1) {
    super({ ...LIMITS, numPages: NUM_PAGES, stepsInFlightMax, draftStepTokensMax, nextTokenOf });
  }

  arriveWith(numPromptTokens: number, maxTokens: number): Sequence {
    return this.arrive(promptOf(numPromptTokens, this.all.length + 1), maxTokens);
  }

  stepUntil(isDone: () => boolean): void {
    for (let i = 0; i < TOKENS_MAX && !isDone(); i++) {
      this.step();
    }
    expect(isDone()).toBe(true);
  }
}

describe('Scheduler', () => {
  it('deals sequences that decode out over the steps in flight, each of them in one step at a time', () => {
    const world = new Arrivals(2);
    const sequences = [1, 2, 3].map(() => world.arriveWith(2, 50));
    const byId = (parts: readonly ScheduledSequence[]): number[] => parts.map(({ sequence }) => sequence.id);
    expect(byId(world.send())).toEqual([1, 2, 3]);
    expect(world.send()).toEqual([]);
    world.receive();
    expect([byId(world.send()), byId(world.send())]).toEqual([[1, 2], [3]]);
    expect(world.scheduler.schedule()).toEqual([]);
    world.receive();
    expect(byId(world.send())).toEqual([1, 2]);
    expect(sequences.map(({ numOutputTokens }) => numOutputTokens)).toEqual([2, 2, 1]);
  });

  it('lets the chunks of a prompt follow each other in flight', () => {
    const world = new Arrivals(3);
    const prompt = world.arriveWith(60, 5);
    const parts = [world.send(), world.send(), world.send()].map(([part]) => [part?.startPosition, part?.numTokens]);
    expect(parts).toEqual([
      [0, 24],
      [24, 24],
      [48, 12],
    ]);
    world.receive();
    expect(prompt).toMatchObject({ numComputedTokens: 24, numScheduledTokens: 36 });
  });

  it('ignores what a step says about a sequence that was rewound after it had been sent', () => {
    const world = new Arrivals(2);
    const prompt = world.arriveWith(60, 5);
    world.send();
    prompt.rewind();
    const [again] = world.send();
    expect(again).toMatchObject({ startPosition: 0, numTokens: 24 });
    world.receive();
    expect(prompt).toMatchObject({ numComputedTokens: 0, numScheduledTokens: 24 });
    world.receive();
    expect(prompt).toMatchObject({ numComputedTokens: 24, numScheduledTokens: 0 });
  });

  it('gives decoding sequences their token before it shares the rest among prompts', () => {
    const world = new Arrivals();
    world.arriveWith(4, 50);
    world.step();
    world.arriveWith(60, 5);
    const parts = world.step();
    expect(parts.map(({ numTokens }) => numTokens)).toEqual([1, LIMITS.numTokensMax - 1]);
  });

  it('lets a short prompt through beside a long one', () => {
    const world = new Arrivals();
    world.arriveWith(90, 5);
    world.arriveWith(6, 5);
    expect(world.step().map(({ numTokens }) => numTokens)).toEqual([LIMITS.numTokensMax - 6, 6]);
  });

  it('preempts the youngest, and computes it again from its tokens', () => {
    const world = new Arrivals();
    const old = world.arriveWith(PAGE_SIZE_TOKENS * 4, 40);
    const young = world.arriveWith(PAGE_SIZE_TOKENS * 4 - 1, 40);
    world.stepUntil(() => young.numOutputTokens > 0 && young.state !== 'running');
    expect(old.state).toBe('running');
    expect(young).toMatchObject({ state: 'waiting', numComputedTokens: 0 });
    expect(young.pageTable.pages).toHaveLength(0);
  });

  it('preempts a sequence whose reader does not read before one that is younger', () => {
    const world = new Arrivals();
    const paused = world.arriveWith(PAGE_SIZE_TOKENS * 3 - 1, 40);
    const reading = world.arriveWith(PAGE_SIZE_TOKENS * 4 - 1, 40);
    world.stepUntil(() => reading.numOutputTokens > 0);
    paused.isPaused = true;
    world.stepUntil(() => paused.state !== 'running');
    expect(reading.state).toBe('running');
    const next = world.arriveWith(1, 1);
    world.step();
    expect(next.state).toBe('finished');
  });

  it('never passes a large prompt over for a small one', () => {
    const world = new Arrivals();
    world.arriveWith(PAGE_SIZE_TOKENS * 5, 4);
    const large = world.arriveWith(PAGE_SIZE_TOKENS * 5, 4);
    const small = world.arriveWith(1, 1);
    world.step();
    expect([large.state, small.state]).toEqual(['waiting', 'waiting']);
  });

  it('counts a prompt as work for its tenant from its admission on', () => {
    const world = new World({ ...LIMITS, numPages: NUM_PAGES, sequencesRunningMax: 1, nextTokenOf });
    const tenants = ['large', 'large', 'small', 'small'];
    tenants.forEach((tenant, i) => world.arrive(promptOf(i === 0 ? 20 : 1, i), 1, tenant));
    const ended: string[] = [];
    for (let i = 0; i < TOKENS_MAX && world.scheduler.sequences.length > 0; i++) {
      const [part] = world.step();
      if (part?.sequence.state === 'finished') {
        ended.push(part.sequence.request.cacheSalt);
      }
    }
    expect(ended).toEqual(['large', 'small', 'small', 'large']);
  });

  it('queues up to its limit and no further', () => {
    const world = new Arrivals();
    for (let i = 0; i < LIMITS.sequencesWaitingMax; i++) {
      world.arriveWith(1, 1);
    }
    expect(world.scheduler.numWaiting).toBe(LIMITS.sequencesWaitingMax);
    world.arriveWith(1, 1);
    expect(world.scheduler.numWaiting).toBe(LIMITS.sequencesWaitingMax);
  });

  it('runs up to its limit and no further', () => {
    const world = new Arrivals();
    for (let i = 0; i <= LIMITS.sequencesRunningMax; i++) {
      world.arriveWith(1, 9);
    }
    expect(world.step()).toHaveLength(LIMITS.sequencesRunningMax);
  });

  it('refuses a budget that cannot serve every running sequence', () => {
    const world = (numTokensMax: number): World => new World({ ...LIMITS, numPages: 1, nextTokenOf, numTokensMax });
    expect(() => world(LIMITS.sequencesRunningMax)).not.toThrow();
    expect(() => world(LIMITS.sequencesRunningMax - 1)).toThrow('cannot serve');
  });
});
