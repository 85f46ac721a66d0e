/** Golden distributions as `oracle/compact.py` writes them: the target and the k likeliest tokens of each position. */

/** Log-probabilities are integers in units of this part of a nat. */
export const UNITS_PER_NAT = 10_000;

export interface CompactDistributions {
  readonly targetLogprobs: readonly number[];
  /** `[positions * topK]`, likeliest first. */
  readonly topIds: readonly number[];
  readonly topLogprobs: readonly number[];
}

/** One position of it, in nats. */
export interface GoldenDistribution {
  readonly targetLogProb: number;
  readonly topIds: readonly number[];
  readonly topLogProbs: readonly number[];
}

/** Unpacks every position, in order. */
export function unpackDistributions(compact: CompactDistributions, topK: number): GoldenDistribution[] {
  return compact.targetLogprobs.map((units, position) => {
    const start = position * topK;
    return {
      targetLogProb: units / UNITS_PER_NAT,
      topIds: compact.topIds.slice(start, start + topK),
      topLogProbs: compact.topLogprobs.slice(start, start + topK).map((value) => value / UNITS_PER_NAT),
    };
  });
}
