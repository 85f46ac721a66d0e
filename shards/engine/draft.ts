/** Guesses the next tokens of one sequence from its own text; the next step verifies them beside the token that is due. */
import { DraftController } from './draft-controller.ts';
import { DraftIndex } from './draft-index.ts';
import { stepCost } from './step-cost.ts';

export interface Draft {
  readonly tokens: readonly number[];
  /** Length of the match that the first token continues; the second one's is longer by one, and so on. */
  readonly matchLength: number;
}

export class Drafter {
  readonly #index = new DraftIndex();
  readonly #controller: DraftController;

  constructor(cost: (numTokens: number) => number = stepCost) {
    this.#controller = new DraftController(cost);
  }

  /**
   * @param tokens of the sequence, whose last one is about to be computed.
   * @param numTokensMax most draft tokens; less than 1 is none.
   * @param numOtherTokens tokens of the step that are computed anyway.
   * @returns null when nothing in the text, or nothing that would pay, says what may come.
   */
  propose(tokens: readonly number[], numTokensMax: number, numOtherTokens: number): Draft | null {
    const match = numTokensMax < 1 ? null : this.#index.find(tokens);
    if (match === null) {
      return null;
    }
    const length = this.#controller.chooseLength(match.length, numTokensMax, numOtherTokens);
    return length === 0 ? null : { tokens: continueFrom(tokens, match.position, length), matchLength: match.length };
  }

  /**
   * Learns how far a draft was right.
   * @param numAccepted tokens that the model chose too; the one after them, if there is one, it did not choose.
   */
  record(draft: Draft, numAccepted: number): void {
    const numVerified = Math.min(draft.tokens.length, numAccepted + 1);
    for (let i = 0; i < numVerified; i++) {
      this.#controller.record(draft.matchLength + i, i < numAccepted);
    }
  }
}

/** What followed `position`; when that reaches the end it goes on with what it has just copied, as a repetition does. */
function continueFrom(tokens: readonly number[], position: number, length: number): number[] {
  const draft: number[] = [];
  for (let i = 0; i < length; i++) {
    const from = position + 1 + i;
    draft.push((from < tokens.length ? tokens[from] : draft[from - tokens.length]) as number);
  }
  return draft;
}
