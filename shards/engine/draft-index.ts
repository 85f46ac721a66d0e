/**
 * Finds where the last tokens of a sequence stood before. What followed there is the draft: prompt lookup decoding
 * (Saxena, 2023, https://github.com/apoorvumang/prompt-lookup-decoding). Earlier places are found through hash chains,
 * as in DEFLATE (RFC 1951, section 4): constant time and four bytes for each token.
 */

/** Tokens that an earlier place must share at least: pairs of tokens recur in any text, and what follows them varies. */
export const MATCH_LENGTH_MIN = 3;
/** Longer matches are not told apart: what they predict has long been as sure as it gets. */
export const MATCH_LENGTH_MAX = 16;
/** Places that one search looks at, the latest first; a list of equal phrases has thousands. */
const CANDIDATES_MAX = 16;
/** Heads of chains, 16 KiB for each sequence that decodes. Phrases that share a chain are told apart by comparing. */
const SLOT_BITS = 12;
const NONE = -1;

export interface DraftMatch {
  /** Position of the token that stood there in the place of the sequence's last one. */
  readonly position: number;
  /** Tokens up to there that are equal, at most `MATCH_LENGTH_MAX`. */
  readonly length: number;
}

export class DraftIndex {
  /** Latest position whose last `MATCH_LENGTH_MIN` tokens have the hash. */
  readonly #latest = new Int32Array(1 << SLOT_BITS).fill(NONE);
  /** Entry i: the position before i in the chain of position i. */
  readonly #earlier: number[] = [];

  /**
   * The longest match, the latest of equal ones; null when there is none.
   * @param tokens of the sequence; they only ever grow from call to call.
   */
  find(tokens: readonly number[]): DraftMatch | null {
    const last = tokens.length - 1;
    if (last < MATCH_LENGTH_MIN) {
      return null;
    }
    this.#add(tokens, last);
    let best: DraftMatch | null = null;
    let position = this.#latest[slotOf(tokens, last)] as number;
    for (let i = 0; i < CANDIDATES_MAX && position !== NONE; i++) {
      const length = commonLength(tokens, position, last);
      if (length >= MATCH_LENGTH_MIN && length > (best?.length ?? 0)) {
        best = { position, length };
      }
      if (length === MATCH_LENGTH_MAX) {
        break;
      }
      position = this.#earlier[position] as number;
    }
    return best;
  }

  /** Takes in the positions before `end` that are new. The last token itself has nothing that follows it yet. */
  #add(tokens: readonly number[], end: number): void {
    for (let position = this.#earlier.length; position < end; position++) {
      if (position < MATCH_LENGTH_MIN - 1) {
        this.#earlier.push(NONE);
        continue;
      }
      const slot = slotOf(tokens, position);
      this.#earlier.push(this.#latest[slot] as number);
      this.#latest[slot] = position;
    }
  }
}

/** Hash of the `MATCH_LENGTH_MIN` tokens that end at `position`: multiplicative, by 2^32 over the golden ratio. */
function slotOf(tokens: readonly number[], position: number): number {
  let hash = 0;
  for (let i = 0; i < MATCH_LENGTH_MIN; i++) {
    hash = Math.imul(hash + (tokens[position - i] as number) + 1, 0x9e3779b1);
  }
  return hash >>> (32 - SLOT_BITS);
}

/** How many tokens before and at two positions are equal, up to `MATCH_LENGTH_MAX`. */
function commonLength(tokens: readonly number[], earlier: number, last: number): number {
  let length = 0;
  while (length < MATCH_LENGTH_MAX && length <= earlier && tokens[earlier - length] === tokens[last - length]) {
    length++;
  }
  return length;
}
