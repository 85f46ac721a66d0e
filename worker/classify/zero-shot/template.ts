/**
 * How a text is put to the model so that a label may follow, and what a label is worth by itself. Contextual calibration
 * (Zhao et al., "Calibrate Before Use", 2021) takes off how likely a label is after texts that say nothing of it. Here
 * those texts are the labels' own words, all of them: each label is meant once, so whatever one of them has more of than
 * the others, it has for its own sake. Texts without meaning, as in the paper, did worse: see `docs/classification.md`.
 */

/** Raised with any change below: answers of two versions cannot be compared. */
export const TEMPLATE_VERSION = 1;

export function promptOf(text: string): string {
  return `Text: "${text}"\nThis text is about the`;
}

/** The label as the prompt goes on: in small letters, as most words of a text are, and after the space before a word. */
export function continuationOf(phrase: string): string {
  return ` ${wordsOf(phrase)}`;
}

/** The words of a label: names are often written as identifiers. */
export function wordsOf(phrase: string): string {
  return phrase.replaceAll('_', ' ').trim().toLowerCase();
}

/** Makes the scores probabilities. Measured, as the one of the least calibration error. */
export const TEMPERATURE = 2;
