/** Prompts of an exact number of tokens, the same for every engine. */
import type { TextTokenizer } from '../../../worker/tokenizer/text-tokenizer.ts';
import { promptOf } from '../prompts.ts';
import type { Prompt } from './subject.ts';

/**
 * The first `numTokens` tokens of plain text that differs with `seed` from its first word on.
 * @throws RangeError when a tokenizer packs several words into one token, so that the text is too short.
 */
export function exactPrompt(tokenizer: TextTokenizer, numTokens: number, seed: number): Prompt {
  // No tokenizer makes fewer tokens than words of these.
  const tokens = tokenizer.encode(promptOf(numTokens, seed)).slice(0, numTokens);
  if (tokens.length < numTokens) {
    throw new RangeError(`the bench's text of ${numTokens} words has only ${tokens.length} tokens`);
  }
  const bytes = tokens.flatMap((tokenId) => [...tokenizer.tokenBytes(tokenId)]);
  return { tokens, text: new TextDecoder().decode(Uint8Array.from(bytes)) };
}
