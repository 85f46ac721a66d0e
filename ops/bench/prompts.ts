/** Prompts that no server can have seen before. */

/** Plain words, so that no tokenizer finds anything special in the prompts. */
const WORDS = (
  'river stone garden window letter market bridge winter music orange table forest paper silver morning harbour ' +
  'teacher engine island summer mountain village doctor yellow kitchen story ocean painter shadow candle'
).split(' ');

/**
 * Words chosen by a linear congruential generator (Numerical Recipes' constants): every prompt differs from its first
 * word on, so that no server can answer from a cache of prefixes.
 */
export function promptOf(numWords: number, seed: number): string {
  let state = seed >>> 0;
  const words: string[] = [];
  for (let index = 0; index < numWords; index++) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    words.push(WORDS[state % WORDS.length] ?? '');
  }
  return `${words.join(' ')}.\n\nThe following is a long story about it:`;
}
