/** Judges texts by labels that came with the request: by their words, and by their examples where they have some. */
import type { Scored } from './judgement.ts';
import type { LabelSpec } from './label-set.ts';
import type { TextFeatures } from './text-features.ts';
import { blendLogits, centroidLogits, directions } from './zero-shot/few-shot.ts';
import { zeroShotScores, type ZeroShotDeps } from './zero-shot/zero-shot.ts';

export interface LabelJudgeDeps extends ZeroShotDeps {
  /** Features of texts, as classifiers use them. */
  readonly features: (texts: readonly string[], signal: AbortSignal) => Promise<TextFeatures>;
}

export interface LabelJudgement {
  readonly method: 'zero_shot' | 'few_shot';
  /** In the order of the texts. */
  readonly scored: readonly Scored[];
  readonly numTokens: number;
  readonly cachedTokens: number;
}

/** @throws GenerationError, FeatureError when the ring refuses or keeps failing; AbortedError when `signal` was aborted. */
export async function judgeByLabels(
  deps: LabelJudgeDeps,
  request: { readonly tenant: string; readonly texts: readonly string[]; readonly labels: readonly LabelSpec[] },
  signal: AbortSignal,
): Promise<LabelJudgement> {
  const { texts, labels } = request;
  const zeroShot = await zeroShotScores(deps, request, signal);
  const examples = labels.flatMap(({ examples: ofLabel }, label) => ofLabel.map((text) => ({ text, label })));
  if (examples.length === 0) {
    return { ...zeroShot, method: 'zero_shot', scored: scoredOf(zeroShot.logits, labels.length) };
  }
  const found = await deps.features([...texts, ...examples.map(({ text }) => text)], signal);
  const size = found.featureSize;
  const { values } = directions({ values: found.features, size }, found.partSize, examples.length);
  const end = texts.length * size;
  const centroids = centroidLogits(
    { values: values.subarray(0, end), size },
    { values: values.subarray(end), size },
    examples.map(({ label }) => label),
    labels.length,
  );
  const logits = blendLogits(zeroShot.logits, centroids, labels.length, examples.length / labels.length);
  return {
    method: 'few_shot',
    scored: scoredOf(logits, labels.length),
    numTokens: zeroShot.numTokens + found.numTokens,
    cachedTokens: zeroShot.cachedTokens,
  };
}

/** Labels alone do not tell what is outside of them. */
function scoredOf(logits: Float64Array, numLabels: number): Scored[] {
  return Array.from({ length: logits.length / numLabels }, (_, text) => ({
    probabilities: softmax(logits.subarray(text * numLabels, (text + 1) * numLabels)),
    outOfScope: null,
  }));
}

function softmax(logits: Float64Array): Float64Array {
  const largest = logits.reduce((a, b) => Math.max(a, b));
  const weights = logits.map((logit) => Math.exp(logit - largest));
  const sum = weights.reduce((total, weight) => total + weight, 0);
  return weights.map((weight) => weight / sum);
}
