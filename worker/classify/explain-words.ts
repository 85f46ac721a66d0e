/**
 * How much each word of a text counts for its label: the drop of the label's probability when the word is left out
 * (occlusion; Li et al., "Understanding Neural Networks through Representation Erasure", 2016).
 */

export interface WordWeight {
  readonly word: string;
  /** Drop of the label's probability when the word is left out. */
  readonly weight: number;
}

const wordsOf = (text: string): string[] => text.split(/\s+/).filter((word) => word !== '');

/** Texts that an explanation judges beside the text itself: one for each word that is looked at. */
export function countVariants(text: string, wordsMax: number): number {
  const numWords = wordsOf(text).length;
  return numWords <= 1 ? 0 : Math.min(numWords, wordsMax);
}

/**
 * @param probabilitiesOf of the label that is explained, for each of the texts it is given
 * @param wordsMax words from the beginning that are looked at
 * @returns none for a text of one word, which would be empty without it
 */
export async function explainWords(
  text: string,
  probability: number,
  wordsMax: number,
  probabilitiesOf: (texts: readonly string[]) => Promise<readonly number[]>,
): Promise<WordWeight[]> {
  const words = wordsOf(text);
  if (words.length <= 1) {
    return [];
  }
  const looked = words.slice(0, wordsMax);
  const without = await probabilitiesOf(looked.map((_, left) => words.filter((_word, at) => at !== left).join(' ')));
  return looked.map((word, at) => ({ word, weight: probability - (without[at] ?? probability) }));
}
