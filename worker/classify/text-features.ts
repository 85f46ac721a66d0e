/** Features of texts: tokens from the model's tokenizer, pooled hidden states from its head shard. */
import { extractFeatures } from '../../shards/client/feature-client.ts';
import type { FeatureHead } from '../../shards/features/feature-protocol.ts';
import { addHashedNgrams } from '../../shards/features/hashed-ngrams.ts';
import { CLASSIFIER_NUM_PARTS, FEATURE_RECIPE } from '../../shards/features/recipe.ts';
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

/**
 * Equal texts are computed once.
 * @throws FeatureError when the head refuses or keeps failing; AbortedError when `signal` was aborted.
 */
export async function featuresOf(
  source: FeatureSource,
  texts: readonly (readonly number[])[],
  signal: AbortSignal,
): Promise<TextFeatures> {
  const { parts, windowTokens } = FEATURE_RECIPE;
  const { different, indexOf } = differentTexts(texts);
  const request = { requestId: source.randomId(), texts: different, parts, windowTokens };
  const matrix = await extractFeatures(request, { heads: source.heads(), clock: source.clock, signal });
  const { featureSize } = matrix;
  const features = different.length === texts.length ? matrix.features : new Float32Array(texts.length * featureSize);
  if (features !== matrix.features) {
    indexOf.forEach((from, to) => {
      features.set(matrix.features.subarray(from * featureSize, (from + 1) * featureSize), to * featureSize);
    });
  }
  const numTokens = texts.reduce((sum, tokens) => sum + tokens.length, 0);
  return { features, featureSize, partSize: featureSize / parts.length, numTokens };
}

/** @returns each text once, and for every text its place among them */
function differentTexts(texts: readonly (readonly number[])[]) {
  const places = new Map<string, number>();
  const different: (readonly number[])[] = [];
  const indexOf = texts.map((tokens) => {
    const key = tokens.join();
    const known = places.get(key);
    if (known !== undefined) {
      return known;
    }
    places.set(key, different.length);
    return different.push(tokens) - 1;
  });
  return { different, indexOf };
}

/** Features of a classifier: those of hidden states, and after them, in each row, pieces of the words of its text. */
export function withHashedParts({ features, featureSize, partSize, ...rest }: TextFeatures, texts: readonly string[]) {
  const widerSize = partSize * CLASSIFIER_NUM_PARTS;
  const wider = new Float32Array(texts.length * widerSize);
  for (const [row, text] of texts.entries()) {
    const start = row * widerSize;
    wider.set(features.subarray(row * featureSize, (row + 1) * featureSize), start);
    addHashedNgrams(text, wider.subarray(start + featureSize, start + widerSize));
  }
  return { ...rest, partSize, features: wider, featureSize: widerSize };
}
