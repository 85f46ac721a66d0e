/** Distances between two next-token distributions, and their averages over a text. All logarithms are natural. */
import { assert } from '../../wasm/host/assert.ts';

/** `log(sum(exp(logits)))` in double precision: subtract it from a logit to get a log-probability. */
export function logSumExp(logits: ArrayLike<number>): number {
  let max = -Infinity;
  for (let i = 0; i < logits.length; i += 1) {
    max = Math.max(max, logits[i] as number);
  }
  let sum = 0;
  for (let i = 0; i < logits.length; i += 1) {
    sum += Math.exp((logits[i] as number) - max);
  }
  return max + Math.log(sum);
}

/** Index of the largest value; the lowest such index when there are several. */
export function argmax(values: ArrayLike<number>): number {
  let best = 0;
  for (let i = 1; i < values.length; i += 1) {
    if ((values[i] as number) > (values[best] as number)) {
      best = i;
    }
  }
  return best;
}

/**
 * Kullback-Leibler divergence KL(reference‖ours) in nats.
 * @param referenceLogProbs normalised; `ourLogits` need not be: `ourLogSumExp` normalises them.
 */
export function klDivergence(
  referenceLogProbs: ArrayLike<number>,
  ourLogits: ArrayLike<number>,
  ourLogSumExp: number,
): number {
  assert(referenceLogProbs.length === ourLogits.length, 'the distributions are over different vocabularies');
  let divergence = 0;
  for (let i = 0; i < ourLogits.length; i += 1) {
    const reference = referenceLogProbs[i] as number;
    divergence += Math.exp(reference) * (reference - ((ourLogits[i] as number) - ourLogSumExp));
  }
  return divergence;
}

/**
 * The same with all tokens outside `topIds` merged into one. By the log-sum inequality it is at most the divergence over
 * the whole vocabulary. `topLogProbs` are the reference's.
 */
export function klDivergenceOfTop(
  topIds: readonly number[],
  topLogProbs: readonly number[],
  ourLogits: ArrayLike<number>,
  ourLogSumExp: number,
): number {
  let divergence = 0;
  let referenceRest = 1;
  let ourRest = 1;
  topIds.forEach((id, index) => {
    const reference = topLogProbs[index] as number;
    const ours = (ourLogits[id] as number) - ourLogSumExp;
    divergence += Math.exp(reference) * (reference - ours);
    referenceRest -= Math.exp(reference);
    ourRest -= Math.exp(ours);
  });
  // Rounding of the stored values can leave a rest that is zero or slightly below it: then nothing is left to compare.
  return referenceRest <= 0 || ourRest <= 0
    ? divergence
    : divergence + referenceRest * Math.log(referenceRest / ourRest);
}

/** Averages over the predicted tokens of a text. */
export interface Quality {
  readonly numPredictions: number;
  /** exp of the mean negative log-probability of the token that came. */
  readonly perplexity: number;
  readonly referencePerplexity: number;
  /** Mean KL(reference‖ours), nats per token. */
  readonly klDivergence: number;
  /** Share of predictions whose likeliest token is the reference's. */
  readonly top1Agreement: number;
}

/** One prediction. */
export interface Comparison {
  readonly targetLogProb: number;
  readonly referenceTargetLogProb: number;
  readonly klDivergence: number;
  readonly isTop1Equal: boolean;
}

/** Sums predictions up; `quality` divides. */
export class QualityTally {
  #numPredictions = 0;
  #logProbSum = 0;
  #referenceLogProbSum = 0;
  #klSum = 0;
  #numTop1Equal = 0;

  add(comparison: Comparison): void {
    this.#numPredictions += 1;
    this.#logProbSum += comparison.targetLogProb;
    this.#referenceLogProbSum += comparison.referenceTargetLogProb;
    this.#klSum += comparison.klDivergence;
    this.#numTop1Equal += comparison.isTop1Equal ? 1 : 0;
  }

  quality(): Quality {
    const n = this.#numPredictions;
    assert(n > 0, 'no predictions were compared');
    return {
      numPredictions: n,
      perplexity: Math.exp(-this.#logProbSum / n),
      referencePerplexity: Math.exp(-this.#referenceLogProbSum / n),
      klDivergence: this.#klSum / n,
      top1Agreement: this.#numTop1Equal / n,
    };
  }
}
