/** Golden distributions as `oracle/compact.py` writes them: the target and the k likeliest tokens of each position. */

/** Log-probabilities are integers in units of this part of a nat. */
export const UNITS_PER_NAT = 10_000;

/** The likeliest tokens of each position: `[positions * topK]`, likeliest first. */
export interface CompactTops {
  readonly topIds: readonly number[];
  readonly topLogprobs: readonly number[];
}

export interface CompactDistributions extends CompactTops {
  readonly targetLogprobs: readonly number[];
}

/** One position's likeliest tokens, in nats. */
export interface GoldenTop {
  readonly topIds: readonly number[];
  readonly topLogProbs: readonly number[];
}

/** One position of a text, in nats. */
export interface GoldenDistribution extends GoldenTop {
  readonly targetLogProb: number;
}

/** Unpacks one position. */
export function unpackTop(compact: CompactTops, topK: number, position: number): GoldenTop {
  const [start, end] = [position * topK, (position + 1) * topK];
  return {
    topIds: compact.topIds.slice(start, end),
    topLogProbs: compact.topLogprobs.slice(start, end).map((units) => units / UNITS_PER_NAT),
  };
}

/** Unpacks every position, in order. */
export function unpackDistributions(compact: CompactDistributions, topK: number): GoldenDistribution[] {
  return compact.targetLogprobs.map((units, position) => ({
    targetLogProb: units / UNITS_PER_NAT,
    ...unpackTop(compact, topK, position),
  }));
}
