/** The sampler as its definition reads: sorted lists, one filter after the other, no care for speed. */
import type { SamplingParams } from '../../engine/protocol.ts';
import { uniformAt } from '../philox.ts';

interface Candidate {
  readonly tokenId: number;
  readonly logit: number;
  readonly weight: number;
}

export function naiveAdjust(
  logits: readonly number[],
  promptTokens: readonly number[],
  outputTokens: readonly number[],
  params: SamplingParams,
): number[] {
  const adjusted = Float32Array.from(logits);
  for (const [tokenId, bias] of params.logitBias) {
    adjusted[tokenId] = Number(adjusted[tokenId]) + bias;
  }
  return Array.from(adjusted, (biased, tokenId) => {
    const isSeen = promptTokens.includes(tokenId) || outputTokens.includes(tokenId);
    const count = outputTokens.filter((other) => other === tokenId).length;
    const repeated = biased > 0 ? biased / params.repetitionPenalty : biased * params.repetitionPenalty;
    const logit = isSeen ? Math.fround(repeated) : biased;
    return count > 0 ? Math.fround(logit - params.presencePenalty - params.frequencyPenalty * count) : logit;
  });
}

function sum(candidates: readonly Candidate[]): number {
  return candidates.reduce((total, { weight }) => total + weight, 0);
}

const byToken = (a: Candidate, b: Candidate): number => a.tokenId - b.tokenId;

/** @returns the tokens that may be sampled, with their unnormalised probabilities, in order of token ids. */
export function naiveCandidates(logits: readonly number[], params: SamplingParams): Candidate[] {
  const logitMax = Math.max(...logits);
  let kept = logits
    .map((logit, tokenId) => ({ tokenId, logit, weight: Math.exp((logit - logitMax) / params.temperature) }))
    .toSorted((a, b) => b.logit - a.logit || a.tokenId - b.tokenId);
  if (params.topK > 0) {
    kept = kept.slice(0, params.topK);
  }
  if (params.topP < 1) {
    const target = params.topP * sum(kept.toSorted(byToken));
    let length = 0;
    for (let mass = 0; length < kept.length && mass < target; length++) {
      mass += kept[length]?.weight ?? 0;
    }
    kept = kept.slice(0, Math.max(1, length));
  }
  return kept.filter(({ weight }) => weight >= params.minP).toSorted(byToken);
}

export function naiveSample(logits: readonly number[], params: SamplingParams, position: number): number {
  if (params.temperature === 0) {
    return logits.indexOf(Math.max(...logits));
  }
  const candidates = naiveCandidates(logits, params);
  const target = uniformAt(params.seed, position) * sum(candidates);
  let mass = 0;
  for (const { tokenId, weight } of candidates) {
    mass += weight;
    if (mass > target) {
      return tokenId;
    }
  }
  return candidates.at(-1)?.tokenId ?? -1;
}
