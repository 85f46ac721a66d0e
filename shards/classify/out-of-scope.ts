/**
 * Whether a text belongs to any of the labels at all. The score is the energy of the calibrated logits, ln(Σ e^(z/T))
 * (Liu et al., "Energy-based Out-of-distribution Detection", 2020): unlike the largest probability it does not rise when
 * one of many unlikely labels is merely the least unlikely. docs/classification.md compares.
 */
import { logSumExp } from './loss.ts';
import type { OutOfFold } from './out-of-fold.ts';
import type { ClassifierKind } from './targets.ts';

/** Quantiles of the scores of texts in scope that are kept; finer ones than half a percent say nothing. */
export const NUM_QUANTILES = 201;

/** A text is called out of scope when this share of texts in scope look less foreign: 5 % of those are refused, too. */
export const OUT_OF_SCOPE_THRESHOLD = 0.95;

export interface OutOfScopeScale {
  /** Texts in scope that were measured. */
  readonly numRows: number;
  /** Their scores, ascending, at equal distances from the smallest to the largest. */
  readonly quantiles: readonly number[];
}

/** Higher for texts in scope. A multi-label classifier has no sum to speak of: its most likely label counts. */
export function inScopeScore(kind: ClassifierKind, logits: Float32Array, temperature: number): number {
  if (kind === 'single') {
    return logSumExp(logits, 1 / temperature);
  }
  return logits.reduce((largest, logit) => Math.max(largest, logit), -Infinity) / temperature;
}

export function measureScope(outOfFold: OutOfFold, temperature: number): OutOfScopeScale {
  const { kind } = outOfFold.targets;
  const scores = Array.from(outOfFold.rows, (_, index) => inScopeScore(kind, outOfFold.logitsOf(index), temperature));
  scores.sort((a, b) => a - b);
  const quantiles = Array.from({ length: NUM_QUANTILES }, (_, index) => {
    const place = (index / (NUM_QUANTILES - 1)) * (scores.length - 1);
    const low = scores[Math.floor(place)] ?? 0;
    return low + ((scores[Math.ceil(place)] ?? 0) - low) * (place - Math.floor(place));
  });
  return { numRows: scores.length, quantiles };
}

/**
 * The share of texts in scope that look less foreign than a text with this score: 0 to 1, never quite either, and
 * strictly falling with the score, so that any two texts can be ranked.
 */
export function outOfScopeOf(scale: OutOfScopeScale, score: number): number {
  const { quantiles, numRows } = scale;
  const [lowest, highest] = [quantiles[0] ?? 0, quantiles.at(-1) ?? 0];
  const edge = 1 / (numRows + 1);
  // Beyond what was seen the share goes on shrinking, at the pace of the spread of what was seen.
  const spread = Math.max((highest - lowest) / 2, Number.EPSILON);
  if (score < lowest) {
    return 1 - edge * Math.exp((score - lowest) / spread);
  }
  if (score > highest) {
    return edge * Math.exp((highest - score) / spread);
  }
  const above = quantiles.findIndex((quantile) => quantile > score);
  const next = above < 0 ? quantiles.length - 1 : above;
  const [low, high] = [quantiles[next - 1] ?? lowest, quantiles[next] ?? highest];
  const within = high > low ? (score - low) / (high - low) : 1;
  const share = (next - 1 + within) / (quantiles.length - 1);
  return 1 - (edge + share * (1 - 2 * edge));
}
