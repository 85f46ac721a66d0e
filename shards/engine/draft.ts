/** Guesses the next tokens of one sequence from its own text; the next step verifies them beside the token that is due. */
import { DraftController } from './draft-controller.ts';
import { DraftIndex, type DraftMatch } from './draft-index.ts';

export interface Draft {
  readonly tokens: readonly number[];
}

/** What was found when the sequence had so many tokens. */
interface Guess extends DraftMatch {
  readonly numTokens: number;
}

export class Drafter {
  readonly #index = new DraftIndex();
  readonly #controller: DraftController;
  #guess: Guess | null = null;

  /** @param stepCost what a step of so many tokens costs, in any unit. */
  constructor(stepCost: (numTokens: number) => number) {
    this.#controller = new DraftController(stepCost);
  }

  /**
   * @param tokens of the sequence, whose last one is about to be computed.
   * @param numTokensMax most draft tokens; less than 1 is none.
   * @param numOtherTokens tokens of the step that are computed anyway.
   * @returns null when nothing in the text, or nothing that would pay, says what may come.
   */
  propose(tokens: readonly number[], numTokensMax: number, numOtherTokens: number): Draft | null {
    if (numTokensMax < 1) {
      return null;
    }
    this.#learn(tokens);
    const match = this.#index.find(tokens);
    this.#guess = match === null ? null : { ...match, numTokens: tokens.length };
    if (match === null) {
      return null;
    }
    const length = this.#controller.chooseLength(match.length, numTokensMax, numOtherTokens);
    return length === 0 ? null : { tokens: continueFrom(tokens, match.position, length) };
  }

  /**
   * Compares what came since the last guess with what it said, whether that was drafted or not, up to the first token that
   * is another one: what follows it continues another match.
   */
  #learn(tokens: readonly number[]): void {
    if (this.#guess === null) {
      return;
    }
    const { position, length, numTokens } = this.#guess;
    for (let i = 0, isRight = true; isRight && numTokens + i < tokens.length; i++) {
      isRight = tokens[numTokens + i] === tokens[position + 1 + i];
      this.#controller.record(length + i, isRight);
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
