/** Scores of labels that nobody has given examples of: how likely the model finds each as the category of a text. */
import { phraseOf, type LabelSpec } from '../label-set.ts';
import { labelLikelihoods, type LikelihoodDeps, type LikelihoodRequest } from './label-likelihood.ts';
import type { PriorCache } from './prior-cache.ts';
import { continuationOf, promptOf, TEMPERATURE, TEMPLATE_VERSION, wordsOf } from './template.ts';

export interface ZeroShotDeps extends LikelihoodDeps {
  readonly priors: PriorCache;
}

export interface ZeroShotRequest {
  readonly tenant: string;
  readonly texts: readonly string[];
  readonly labels: readonly LabelSpec[];
}

export interface ZeroShotScores {
  /** `[numTexts, numLabels]`: their softmax over the labels are probabilities. */
  readonly logits: Float64Array;
  readonly numTokens: number;
  readonly cachedTokens: number;
}

/** @throws GenerationError when the ring refuses or keeps failing; AbortedError when `signal` was aborted. */
export async function zeroShotScores(
  deps: ZeroShotDeps,
  { tenant, texts, labels }: ZeroShotRequest,
  signal: AbortSignal,
): Promise<ZeroShotScores> {
  const phrases = labels.map(phraseOf);
  const continuations = phrases.map(continuationOf);
  const shared = { continuations, cacheSalt: tenant, promptCacheKey: `classify/${TEMPLATE_VERSION}` };
  const prior = await priorOf(deps, phrases, shared, signal);
  const likelihoods = await labelLikelihoods(deps, { ...shared, prompts: texts.map(promptOf) }, signal);
  const logits = likelihoods.logprobs.map(
    (logprob, pair) => (logprob - (prior.means[pair % labels.length] ?? 0)) / TEMPERATURE,
  );
  return {
    logits,
    numTokens: prior.numTokens + likelihoods.numTokens,
    cachedTokens: prior.cachedTokens + likelihoods.cachedTokens,
  };
}

/** How likely each label is, on average, after the words of each. Computed once for a set of labels. */
async function priorOf(
  deps: ZeroShotDeps,
  phrases: readonly string[],
  shared: Omit<LikelihoodRequest, 'prompts'>,
  signal: AbortSignal,
): Promise<{ means: Float64Array; numTokens: number; cachedTokens: number }> {
  const key = JSON.stringify([shared.cacheSalt, shared.continuations]);
  const known = deps.priors.find(key);
  if (known !== null) {
    return { means: known, numTokens: 0, cachedTokens: 0 };
  }
  const prompts = phrases.map((phrase) => promptOf(wordsOf(phrase)));
  const { logprobs, numTokens, cachedTokens } = await labelLikelihoods(deps, { ...shared, prompts }, signal);
  const numLabels = shared.continuations.length;
  const means = new Float64Array(numLabels);
  logprobs.forEach((logprob, pair) => {
    means[pair % numLabels] = (means[pair % numLabels] ?? 0) + logprob / phrases.length;
  });
  deps.priors.keep(key, means);
  return { means, numTokens, cachedTokens };
}
