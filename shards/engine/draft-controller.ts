/**
 * Decides how many draft tokens are worth their cost. Whether a draft token is accepted depends above all on how long
 * the match before it is, so acceptance is measured for each class of match lengths, and for each sequence; a draft has the
 * length that brings the most tokens for its cost. Expected tokens of a step as in Leviathan et al., "Fast inference from
 * transformers via speculative decoding" (2023), section 3.1, with a probability for each token instead of one.
 */
import { MATCH_LENGTH_MAX } from './draft-index.ts';

/** First match length of each class, and how often its tokens were accepted over chats and quotations of SmolLM2-135M. */
const CLASSES = [
  { matchLengthMin: 1, acceptance: 0.5 },
  { matchLengthMin: 4, acceptance: 0.65 },
  { matchLengthMin: 6, acceptance: 0.8 },
  { matchLengthMin: 9, acceptance: 0.9 },
  { matchLengthMin: MATCH_LENGTH_MAX, acceptance: 0.95 },
] as const;

/** The acceptance above counts as much as this many tokens of the sequence itself. */
const PRIOR_WEIGHT = 4;
/** What was measured counts less with every further token: after 20 about a third. A text changes its subject. */
const RETENTION = 0.95;
/**
 * When a class has stopped to pay, the next that many drafts of it are left out, and then one is tried. Twice as many after
 * each such trial that fails, up to the maximum, so that a text whose phrases mislead costs nothing in the long run.
 */
const SKIPS_MIN = 8;
const SKIPS_MAX = 256;

interface MatchClass {
  /** Draft tokens that were verified and accepted, both fading. */
  numVerified: number;
  numAccepted: number;
  numSkipsLeft: number;
  numSkipsNext: number;
}

export class DraftController {
  readonly #stepCost: (numTokens: number) => number;
  readonly #classes: MatchClass[] = CLASSES.map(() => ({
    numVerified: 0,
    numAccepted: 0,
    numSkipsLeft: SKIPS_MIN,
    numSkipsNext: SKIPS_MIN,
  }));

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
      reached *= this.#acceptance(matchLength + length - 1);
      numTokens += reached;
      const rate = numTokens / this.#stepCost(numOtherTokens + length);
      if (rate > bestRate) {
        best = length;
        bestRate = rate;
      }
    }
    return best > 0 || !this.#isTrialDue(matchLength) ? best : 1;
  }

  /** Learns from one verified token. @param matchLength of the match that it continued. */
  record(matchLength: number, isAccepted: boolean): void {
    const entry = this.#classOf(matchLength);
    entry.numVerified = entry.numVerified * RETENTION + 1;
    entry.numAccepted = entry.numAccepted * RETENTION + (isAccepted ? 1 : 0);
    if (isAccepted) {
      entry.numSkipsNext = SKIPS_MIN;
    }
  }

  #acceptance(matchLength: number): number {
    const { numVerified, numAccepted } = this.#classOf(matchLength);
    const prior = CLASSES[classIndexOf(matchLength)]?.acceptance ?? 0;
    return (numAccepted + PRIOR_WEIGHT * prior) / (numVerified + PRIOR_WEIGHT);
  }

  #isTrialDue(matchLength: number): boolean {
    const entry = this.#classOf(matchLength);
    if (entry.numSkipsLeft > 0) {
      entry.numSkipsLeft--;
      return false;
    }
    entry.numSkipsNext = Math.min(SKIPS_MAX, entry.numSkipsNext * 2);
    entry.numSkipsLeft = entry.numSkipsNext;
    return true;
  }

  #classOf(matchLength: number): MatchClass {
    return this.#classes[classIndexOf(matchLength)] as MatchClass;
  }
}

function classIndexOf(matchLength: number): number {
  return CLASSES.findLastIndex(({ matchLengthMin }) => matchLength >= matchLengthMin);
}
