/**
 * Decides how many draft tokens are worth their cost. Whether a draft token is right depends above all on how long the match
 * before it is, and on how much a text repeats at all: the first is known, the second is learnt for each sequence. A draft
 * has the length that brings the most tokens for its cost. Expected tokens of a step as in Leviathan et al., "Fast inference
 * from transformers via speculative decoding" (2023), section 3.1, with a probability for each token instead of one.
 */
import { MATCH_LENGTH_MAX } from './draft-index.ts';

/** First match length of each class, and how often what followed came again: between chats and quotations of SmolLM2-135M. */
const CLASSES = [
  { matchLengthMin: 1, rightShare: 0.2 },
  { matchLengthMin: 2, rightShare: 0.45 },
  { matchLengthMin: 3, rightShare: 0.65 },
  { matchLengthMin: 4, rightShare: 0.72 },
  { matchLengthMin: 6, rightShare: 0.82 },
  { matchLengthMin: 9, rightShare: 0.92 },
  { matchLengthMin: MATCH_LENGTH_MAX, rightShare: 0.97 },
] as const;
const CLASS_LOG_ODDS = CLASSES.map(({ rightShare }) => Math.log(rightShare / (1 - rightShare)));

/**
 * How far one token moves what a sequence is believed to be, in log-odds. Chats and quotations differ by about 1.5 in all
 * classes; a text changes its subject, and some ten tokens should tell.
 */
const LEARNING_RATE = 0.1;
const LOG_ODDS_SHIFT_MAX = 3;

export class DraftController {
  readonly #stepCost: (numTokens: number) => number;
  /** How much more than `CLASSES` says the sequence repeats, in log-odds; below 0 less. */
  #shift = 0;

  /** @param stepCost what a step of so many tokens costs, in any unit. */
  constructor(stepCost: (numTokens: number) => number) {
    this.#stepCost = stepCost;
  }

  /**
   * The number of draft tokens with the most tokens for the time.
   * @param matchLength of the match that the first one continues.
   * @param numDraftTokensMax at least 1.
   * @param numOtherTokens tokens of the step that are computed anyway, this sequence's own among them.
   */
  chooseLength(matchLength: number, numDraftTokensMax: number, numOtherTokens: number): number {
    let best = 0;
    let numTokens = numOtherTokens;
    let bestRate = numTokens / this.#stepCost(numOtherTokens);
    let reached = 1;
    for (let length = 1; length <= numDraftTokensMax; length++) {
      reached *= this.#probability(matchLength + length - 1);
      numTokens += reached;
      const rate = numTokens / this.#stepCost(numOtherTokens + length);
      if (rate > bestRate) {
        best = length;
        bestRate = rate;
      }
    }
    return best;
  }

  /**
   * Learns from one token whether it was what the match said, computed as a draft or not: a step of logistic regression in
   * one unknown.
   * @param matchLength of the match that it continued.
   */
  record(matchLength: number, isRight: boolean): void {
    const error = (isRight ? 1 : 0) - this.#probability(matchLength);
    const shift = this.#shift + LEARNING_RATE * error;
    this.#shift = Math.max(-LOG_ODDS_SHIFT_MAX, Math.min(LOG_ODDS_SHIFT_MAX, shift));
  }

  #probability(matchLength: number): number {
    const classIndex = CLASSES.findLastIndex(({ matchLengthMin }) => matchLength >= matchLengthMin);
    return 1 / (1 + Math.exp(-(CLASS_LOG_ODDS[classIndex] as number) - this.#shift));
  }
}
