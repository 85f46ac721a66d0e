/**
 * Finds where the last tokens of a sequence stood before. What followed there is the draft: prompt lookup decoding
 * (Saxena, 2023, https://github.com/apoorvumang/prompt-lookup-decoding). Earlier places are found through hash chains,
 * as in DEFLATE (RFC 1951, section 4): constant time and some bytes for each token.
 */

/** Longer matches are not told apart: what they predict has long been as sure as it gets. */
export const MATCH_LENGTH_MAX = 16;
/**
 * Tokens that places of one chain share. Where three tokens are equal there are few places, so the longest match is among
 * those that are looked at; only where there is none, one token will do.
 */
export const CHAINED_TOKENS = [3, 1] as const;
/** Places that a search looks at in a chain, the latest first; a list of equal phrases has thousands. */
const CANDIDATES_MAX = 16;
/** Heads of a chain's places, 16 KiB for each sequence that decodes. What shares a head is told apart by comparing. */
const SLOT_BITS = 12;
const NONE = -1;

export interface DraftMatch {
  /** Position of the token that stood there in the place of the sequence's last one. */
  readonly position: number;
  /** Tokens up to there that are equal, at least 1 and at most `MATCH_LENGTH_MAX`. */
  readonly length: number;
}

export class DraftIndex {
  readonly #chains = CHAINED_TOKENS.map((numTokens) => new Chain(numTokens));

  /**
   * The longest match, the latest of equal ones; null when there is none.
   * @param tokens of the sequence; they only ever grow from call to call.
   */
  find(tokens: readonly number[]): DraftMatch | null {
    let best: DraftMatch | null = null;
    for (const chain of this.#chains) {
      // All chains take in what is new, so that none has much to do at once.
      chain.add(tokens);
      best ??= chain.find(tokens);
    }
    return best;
  }
}

/** Places by the hash of the last tokens up to there. */
class Chain {
  readonly #numTokens: number;
  /** Latest position whose last `numTokens` tokens have the hash. */
  readonly #latest = new Int32Array(1 << SLOT_BITS).fill(NONE);
  /** Entry i: the position before i that shares its head. */
  readonly #earlier: number[] = [];

  constructor(numTokens: number) {
    this.#numTokens = numTokens;
  }

  /** Takes in the positions before the last one that are new. The last token itself has nothing that follows it yet. */
  add(tokens: readonly number[]): void {
    for (let position = this.#earlier.length; position < tokens.length - 1; position++) {
      if (position < this.#numTokens - 1) {
        this.#earlier.push(NONE);
        continue;
      }
      const slot = this.#slotOf(tokens, position);
      this.#earlier.push(this.#latest[slot] as number);
      this.#latest[slot] = position;
    }
  }

  find(tokens: readonly number[]): DraftMatch | null {
    const last = tokens.length - 1;
    if (last < this.#numTokens) {
      return null;
    }
    let best: DraftMatch | null = null;
    let position = this.#latest[this.#slotOf(tokens, last)] as number;
    for (let i = 0; i < CANDIDATES_MAX && position !== NONE; i++) {
      const length = commonLength(tokens, position, last);
      if (length >= this.#numTokens && length > (best?.length ?? 0)) {
        best = { position, length };
      }
      if (length === MATCH_LENGTH_MAX) {
        break;
      }
      position = this.#earlier[position] as number;
    }
    return best;
  }

  /** Hash of the tokens that end at `position`: multiplicative, by 2^32 over the golden ratio. */
  #slotOf(tokens: readonly number[], position: number): number {
    let hash = 0;
    for (let i = 0; i < this.#numTokens; i++) {
      hash = Math.imul(hash + (tokens[position - i] as number) + 1, 0x9e3779b1);
    }
    return hash >>> (32 - SLOT_BITS);
  }
}

/** How many tokens before and at two positions are equal, up to `MATCH_LENGTH_MAX`. */
function commonLength(tokens: readonly number[], earlier: number, last: number): number {
  let length = 0;
  while (length < MATCH_LENGTH_MAX && length <= earlier && tokens[earlier - length] === tokens[last - length]) {
    length++;
  }
  return length;
}
