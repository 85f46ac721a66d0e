import { describe, expect, it } from 'vitest';
import { DraftController } from '../draft-controller.ts';
import { MATCH_LENGTH_MAX } from '../draft-index.ts';
import { Drafter } from '../draft.ts';

const SHORT = 2;

/** Steps in which each further token costs the same part of the first. */
function linear(tokenCost: number): (numTokens: number) => number {
  return (numTokens) => 1 + tokenCost * (numTokens - 1);
}

/** What the controller chooses after so many tokens that were as the match said, or were not. */
function lengthAfter(isRight: boolean, numTokens: number, matchLength: number): number {
  const controller = new DraftController(linear(0.4));
  for (let i = 0; i < numTokens; i++) {
    controller.record(matchLength, isRight);
  }
  return controller.chooseLength(matchLength, 7, 1);
}

describe('DraftController', () => {
  it('starts with few tokens after a short match and with more after a long one', () => {
    const controller = new DraftController(linear(0.4));
    const short = controller.chooseLength(SHORT, 7, 1);
    expect(short).toBeGreaterThan(0);
    expect(controller.chooseLength(MATCH_LENGTH_MAX, 7, 1)).toBeGreaterThan(short);
  });

  it('drafts as much as it may when all is right', () => {
    const controller = new DraftController(linear(0.4));
    expect(lengthAfter(true, 50, MATCH_LENGTH_MAX)).toBe(7);
    expect(controller.chooseLength(MATCH_LENGTH_MAX, 2, 1)).toBe(2);
  });

  it('drafts less while matches mislead, at last nothing, and comes back when they do not', () => {
    const lengths = [0, 5, 60].map((numTokens) => lengthAfter(false, numTokens, SHORT));
    expect(lengths[0]).toBeGreaterThan(0);
    expect(lengths[2]).toBe(0);
    expect(lengths).toEqual(lengths.toSorted((a, b) => b - a));
    const controller = new DraftController(linear(0.4));
    for (const isRight of [false, true]) {
      for (let i = 0; i < 1000; i++) {
        controller.record(SHORT, isRight);
      }
    }
    expect(controller.chooseLength(SHORT, 7, 1)).toBeGreaterThan(0);
  });

  it('learns from one class about the others: a text that repeats does so after short and long matches', () => {
    const costOfStep = linear(0.6);
    const [before, after] = [new DraftController(costOfStep), new DraftController(costOfStep)];
    for (let i = 0; i < 50; i++) {
      after.record(4, true);
    }
    expect(before.chooseLength(SHORT, 7, 1)).toBe(0);
    expect(after.chooseLength(SHORT, 7, 1)).toBeGreaterThan(0);
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

describe('Drafter', () => {
  const phrase = Array.from({ length: 20 }, (_, i) => 10 + i);

  it('continues as the text did', () => {
    const draft = new Drafter(linear(0.1)).propose([...phrase, 1, ...phrase.slice(0, 8)], 4, 1);
    expect(draft).toEqual({ tokens: phrase.slice(8, 12) });
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

  /** Lengths of the drafts before each token of `text` from the second on, a step for each token. */
  function draftLengths(text: readonly number[], tokenCost: number): number[] {
    const drafter = new Drafter(linear(tokenCost));
    return text.slice(1).map((_, i) => drafter.propose(text.slice(0, i + 1), 7, 1)?.tokens.length ?? 0);
  }

  it('learns from every token what the text is like, whether it was drafted or not', () => {
    // At this cost a match of one token has to be surer than it is in most texts.
    const repeating = draftLengths(Array.from({ length: 5 }, () => phrase).flat(), 0.5);
    expect(repeating.slice(0, phrase.length + 1)).toEqual(repeating.slice(0, phrase.length + 1).map(() => 0));
    expect(repeating.at(-1)).toBe(7);
    // And at this one it pays, until it has misled a few times.
    const misleading = draftLengths(
      Array.from({ length: 200 }, (_, i) => (i % 2 === 0 ? 5 : 100 + i)),
      0.15,
    );
    expect(misleading.slice(0, 20).some((length) => length > 0)).toBe(true);
    expect(misleading.slice(-50).every((length) => length === 0)).toBe(true);
  });

  it('learns from several tokens of a step up to the first that is another one', () => {
    const costs = Array.from({ length: 60 }, (_, i) => 0.3 + i / 100);
    /** What is drafted after the beginning of the phrase, at all costs, when it went on like this before. */
    const lengthsAfter = (answer: readonly number[]): number[] =>
      costs.map((cost) => {
        const drafter = new Drafter(linear(cost));
        const text = [...phrase, 1, ...phrase.slice(0, 6)];
        drafter.propose(text, 7, 1);
        // The last token never stood before, so nothing is guessed after it.
        text.push(...answer, 500);
        drafter.propose(text, 7, 1);
        return drafter.propose([...text, 2, ...phrase.slice(0, 6)], 7, 1)?.tokens.length ?? 0;
      });
    const right = phrase.slice(6, 16);
    // What follows a wrong token says nothing about the match: right or wrong, it is not looked at.
    expect(lengthsAfter([99, ...right.slice(1)])).toEqual(lengthsAfter([99, ...right.slice(1).map((token) => -token)]));
    expect(lengthsAfter(right)).not.toEqual(lengthsAfter([...right.slice(0, 1), 99]));
  });
});
