/**
 * Token ids to text, piece by piece. A token may end in the middle of a UTF-8 character; the decoder keeps such bytes
 * until the character is whole, so no piece ever holds half of one.
 */
import type { TextTokenizer } from './text-tokenizer.ts';

export class IncrementalDetokenizer {
  readonly #tokenizer: TextTokenizer;
  readonly #keepSpecialTokens: boolean;
  // `ignoreBOM` keeps U+FEFF in the text: it is a character like any other when a model writes it.
  readonly #decoder = new TextDecoder('utf-8', { fatal: false, ignoreBOM: true });

  constructor(tokenizer: TextTokenizer, options: { readonly keepSpecialTokens: boolean }) {
    this.#tokenizer = tokenizer;
    this.#keepSpecialTokens = options.keepSpecialTokens;
  }

  /** @returns the text that is complete with this token: '' while a character lacks bytes. */
  push(tokenId: number): string {
    if (!this.#keepSpecialTokens && this.#tokenizer.isSpecial(tokenId)) {
      return '';
    }
    return this.#decoder.decode(this.#tokenizer.tokenBytes(tokenId), { stream: true });
  }

  /** Ends the text. @returns U+FFFD when it ended inside a character, else ''. */
  flush(): string {
    return this.#decoder.decode();
  }
}

/** Text of a whole list of tokens, special ones included. */
export function detokenize(tokenizer: TextTokenizer, tokenIds: readonly number[]): string {
  const detokenizer = new IncrementalDetokenizer(tokenizer, { keepSpecialTokens: true });
  return tokenIds.map((tokenId) => detokenizer.push(tokenId)).join('') + detokenizer.flush();
}
