/** Texts that nobody has seen before, and how many tokens they have in the default model's vocabulary. */
import { promptOf } from '../prompts.ts';

/** Tokens of every `shortText` and `systemText`; a test counts them. */
export const SHORT_TEXT_TOKENS = 15;
export const SYSTEM_TEXT_TOKENS = 16;

/** Words that are one token at the beginning of a text, too. */
const FIRST_WORDS = 'river stone window letter market bridge winter music orange table forest paper'.split(' ');

/** One token, so many words of one token each, and a full stop. */
function sentence(numWords: number, seed: number): string {
  const first = FIRST_WORDS[seed % FIRST_WORDS.length] ?? '';
  return `${first} ${promptOf(numWords, seed).split('\n')[0] ?? ''}`;
}

export function shortText(seed: number): string {
  return `${sentence(12, seed)} please`;
}

/** A system message as long as the one that the default model's chat template has when there is none. */
export function systemText(seed: number): string {
  return sentence(14, seed);
}
