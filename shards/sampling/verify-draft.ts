import type { Draft } from '../engine/draft.ts';

/**
 * Verification of a draft against the model. The sampler's random numbers depend on seed and position alone, so each row of
 * logits is sampled as it would be without drafts, and a draft token is accepted when it is the very token that was chosen.
 * The output is therefore the same to the bit; rejection sampling would only keep its distribution.
 */
export class DraftVerification {
  readonly #draft: Draft;
  readonly #firstPosition: number;
  #numAccepted = 0;
  #isOver = false;

  /** @param firstPosition of the last token that was known: its logits are about the first draft token. */
  constructor(draft: Draft, firstPosition: number) {
    this.#draft = draft;
    this.#firstPosition = firstPosition;
  }

  /** Whether the logits at a position are those of the text that the model chose, and its next token is due. */
  isUsable(position: number): boolean {
    return !this.#isOver && position === this.#firstPosition + this.#numAccepted;
  }

  /**
   * Takes the token that was chosen from the usable logits.
   * @returns whether it is the next draft token, whose key and value are then computed already.
   */
  choose(tokenId: number): boolean {
    const isAccepted = this.#draft.tokens[this.#numAccepted] === tokenId;
    if (isAccepted) {
      this.#numAccepted++;
    } else {
      this.#isOver = true;
    }
    return isAccepted;
  }
}
