/** Log-probabilities under the unmodified distribution: what the model says, before temperature and penalties. */
import type { TokenLogprob } from '../engine/protocol.ts';
import { power, powerScale } from './powers.ts';
import { indexOfMax } from './sampler.ts';

/** Natural logarithm of the sum of exponentials, in double precision and in the order of the token ids. */
export function logSumExp(logits: Float32Array): number {
  const logitMax = logits[indexOfMax(logits)] as number;
  const scale = powerScale(1);
  let sum = 0;
  for (let i = 0; i < logits.length; i++) {
    sum += power(((logits[i] as number) - logitMax) * scale);
  }
  return logitMax + Math.log(sum);
}

/**
 * @param logits `[vocabSize]`
 * @param tokenId the token that was chosen, or that the prompt has at this place.
 * @param numTop how many of the most likely tokens to report beside it.
 */
export function tokenLogprob(logits: Float32Array, tokenId: number, numTop: number): TokenLogprob {
  const normaliser = logSumExp(logits);
  const top = indicesOfLargest(logits, numTop).map((index) => [index, (logits[index] as number) - normaliser] as const);
  return { tokenId, logprob: (logits[tokenId] as number) - normaliser, top };
}

/**
 * Indices of the `count` largest elements, largest first, the lower index first among equals. One pass that compares
 * with the smallest one kept; insertions are rare after the first few hundred elements.
 */
export function indicesOfLargest(values: Float32Array, count: number): number[] {
  const kept: number[] = [];
  const numKeptMax = Math.min(count, values.length);
  if (numKeptMax === 0) {
    return kept;
  }
  let threshold = -Infinity;
  for (let index = 0; index < values.length; index++) {
    const value = values[index] as number;
    if (kept.length === numKeptMax && value <= threshold) {
      continue;
    }
    let place = kept.length;
    while (place > 0 && (values[kept[place - 1] as number] as number) < value) {
      place--;
    }
    kept.splice(place, 0, index);
    if (kept.length > numKeptMax) {
      kept.pop();
    }
    threshold = values[kept[kept.length - 1] as number] as number;
  }
  return kept;
}
