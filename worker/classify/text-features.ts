/** Features of texts: tokens from the model's tokenizer, pooled hidden states from its head shard. */
import { extractFeatures } from '../../shards/client/feature-client.ts';
import type { FeatureHead } from '../../shards/features/feature-protocol.ts';
import { FEATURE_RECIPE } from '../../shards/features/recipe.ts';
import type { Clock } from '../../shards/platform/clock.ts';
import type { TextModel } from '../tokenizer/text-model.ts';

/** The model that features come from, and the replicas that compute them. */
export interface FeatureSource {
  /** Registry name of the model. */
  readonly model: string;
  readonly heads: () => readonly [FeatureHead, ...FeatureHead[]];
  readonly textModel: () => Promise<TextModel>;
  readonly clock: Clock;
  readonly randomId: () => string;
}

export interface TextFeatures {
  /** `[numTexts, featureSize]` */
  readonly features: Float32Array;
  readonly featureSize: number;
  readonly partSize: number;
  readonly numTokens: number;
}

/** What makes features comparable: the recipe and the model. A classifier is of use with its own only. */
export function recipeName({ model }: FeatureSource): string {
  return `${model}/features-${FEATURE_RECIPE.version}`;
}

/** Tokens of a text, never none: what the vocabulary cannot write at all counts as a space. */
export function tokensOf({ tokenizer }: TextModel, text: string): number[] {
  const tokens = tokenizer.encode(text);
  return tokens.length > 0 ? tokens : tokenizer.encode(' ');
}

/** @throws FeatureError when the head refuses or keeps failing; AbortedError when `signal` was aborted. */
export async function featuresOf(
  source: FeatureSource,
  texts: readonly (readonly number[])[],
  signal: AbortSignal,
): Promise<TextFeatures> {
  const { parts, windowTokens } = FEATURE_RECIPE;
  const request = { requestId: source.randomId(), texts, parts, windowTokens };
  const matrix = await extractFeatures(request, { heads: source.heads(), clock: source.clock, signal });
  return { ...matrix, partSize: matrix.featureSize / parts.length };
}
