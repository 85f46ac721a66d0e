import { describe, expect, it } from 'vitest';
import { DraftController } from '../draft-controller.ts';
import { MATCH_LENGTH_MAX } from '../draft-index.ts';
import { Drafter } from '../draft.ts';
import { stepCost } from '../step-cost.ts';

const SHORT = 3;

/** Steps in which each further token costs the same part of the first. */
function linear(tokenCost: number): (numTokens: number) => number {
  return (numTokens) => 1 + tokenCost * (numTokens - 1);
}

/** What a controller does in `numTimes` steps in which draft tokens are accepted, or not; drafted tokens in all. */
function run(controller: DraftController, matchLength: number, isAccepted: boolean, numTimes: number): number {
  let numDrafted = 0;
  for (let i = 0; i < numTimes; i++) {
    const length = controller.chooseLength(matchLength, 7, 1);
    numDrafted += length;
    const numVerified = isAccepted ? length : Math.min(1, length);
    for (let token = 0; token < numVerified; token++) {
      controller.record(matchLength + token, isAccepted);
    }
  }
  return numDrafted;
}

describe('DraftController', () => {
  it('starts with few tokens after a short match and with more after a long one', () => {
    const controller = new DraftController(linear(0.4));
    const short = controller.chooseLength(SHORT, 7, 1);
    expect(short).toBeGreaterThan(0);
    expect(controller.chooseLength(MATCH_LENGTH_MAX, 7, 1)).toBeGreaterThan(short);
  });

  it('drafts as much as it may when all is accepted', () => {
    const controller = new DraftController(linear(0.4));
    run(controller, MATCH_LENGTH_MAX, true, 50);
    expect(controller.chooseLength(MATCH_LENGTH_MAX, 7, 1)).toBe(7);
    expect(controller.chooseLength(MATCH_LENGTH_MAX, 2, 1)).toBe(2);
  });

  it('stops when nothing is accepted, and then tries ever more rarely', () => {
    const controller = new DraftController(linear(0.4));
    const first = run(controller, MATCH_LENGTH_MAX, false, 100);
    const later = run(controller, MATCH_LENGTH_MAX, false, 1000);
    expect(first).toBeGreaterThan(0);
    expect(first).toBeLessThan(40);
    expect(later).toBeLessThan(10);
    expect(later).toBeGreaterThan(0);
  });

  it('comes back when a trial succeeds', () => {
    const controller = new DraftController(linear(0.4));
    run(controller, MATCH_LENGTH_MAX, false, 100);
    expect(run(controller, MATCH_LENGTH_MAX, true, 1000)).toBeGreaterThan(500);
  });

  it('judges each length of match by itself', () => {
    const controller = new DraftController(linear(0.4));
    run(controller, SHORT, false, 50);
    expect(controller.chooseLength(SHORT, 7, 1)).toBe(0);
    expect(controller.chooseLength(MATCH_LENGTH_MAX, 7, 1)).toBeGreaterThan(0);
  });

  it('drafts less the more a token costs, and in fuller steps', () => {
    const lengthFor = (cost: number, numOtherTokens: number): number =>
      new DraftController(linear(cost)).chooseLength(8, 7, numOtherTokens);
    expect(lengthFor(0.05, 1)).toBe(7);
    expect(lengthFor(0.9, 1)).toBe(0);
    expect(lengthFor(0.4, 1)).toBeLessThan(7);
    expect(lengthFor(0.4, 16)).toBe(0);
  });
});

describe('stepCost', () => {
  it('is that of tiles of four tokens and of what is left over', () => {
    expect([1, 2, 3, 4].map(stepCost)).toEqual([1, 1.3, 2.3, 2.2]);
    expect(stepCost(8)).toBeCloseTo(2 * stepCost(4));
    expect(stepCost(11)).toBeCloseTo(stepCost(8) + stepCost(3));
  });

  it('makes a draft of two tokens never better than one of three that is accepted', () => {
    const controller = new DraftController(stepCost);
    run(controller, MATCH_LENGTH_MAX, true, 50);
    expect(controller.chooseLength(MATCH_LENGTH_MAX, 3, 1)).toBe(3);
    expect(controller.chooseLength(MATCH_LENGTH_MAX, 2, 1)).toBe(1);
  });
});

describe('Drafter', () => {
  const phrase = Array.from({ length: 20 }, (_, i) => 10 + i);

  it('continues as the text did', () => {
    const draft = new Drafter(linear(0.1)).propose([...phrase, 1, ...phrase.slice(0, 8)], 4, 1);
    expect(draft).toEqual({ tokens: phrase.slice(8, 12), matchLength: 8 });
  });

  it('goes on with a repetition beyond the end of the text', () => {
    const draft = new Drafter(linear(0.01)).propose([1, 2, 3, 1, 2, 3, 1, 2, 3], 7, 1);
    expect(draft?.tokens).toEqual([1, 2, 3, 1, 2, 3, 1]);
  });

  it('has nothing to say without a match or without room', () => {
    const drafter = new Drafter(linear(0.1));
    expect(drafter.propose(phrase, 4, 1)).toBeNull();
    expect(drafter.propose([1, 2, 3, 4, 1, 2, 3], 0, 1)).toBeNull();
    expect(drafter.propose([1, 2, 3, 4, 1, 2, 3], -5, 1)).toBeNull();
  });

  it('learns from the first token that was refused, not from what came after it', () => {
    const atEight = [...phrase, 1, ...phrase.slice(0, 8)];
    const atNine = [...phrase, 1, ...phrase.slice(0, 9)];
    const drafter = new Drafter(linear(0.4));
    for (let i = 0; i < 60; i++) {
      drafter.record({ tokens: phrase.slice(8, 16), matchLength: 8 }, 0);
    }
    expect(drafter.propose(atEight, 7, 1)).toBeNull();
    expect(drafter.propose(atNine, 7, 1)).toEqual(new Drafter(linear(0.4)).propose(atNine, 7, 1));
  });

  it('learns from those before it too', () => {
    const drafter = new Drafter(linear(0.4));
    for (let i = 0; i < 60; i++) {
      drafter.record({ tokens: phrase.slice(0, 4), matchLength: 3 }, 1);
    }
    expect(drafter.propose([...phrase, 1, ...phrase.slice(0, 3)], 7, 1)?.tokens).toHaveLength(1);
  });
});
