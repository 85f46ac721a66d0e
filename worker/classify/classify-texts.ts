/** Classifies texts with a tenant's classifier: one call to the head shard for the features, the rest happens here. */
import { predict, type Prediction } from '../../shards/classify/model.ts';
import type { ClassifierKind } from '../../shards/classify/targets.ts';
import { err, ok, type Result } from '../../shards/result.ts';
import type { ClassifierFailure } from './classifier.ts';
import type { ModelCache } from './model-cache.ts';
import { featuresOf, recipeName, tokensOf, withHashedParts, type FeatureSource } from './text-features.ts';

export interface ClassifyDeps {
  readonly models: ModelCache;
  readonly features: FeatureSource;
}

export interface Classified {
  readonly version: number;
  readonly kind: ClassifierKind;
  readonly labels: readonly string[];
  readonly outOfScopeThreshold: number;
  /** In the order of the texts. */
  readonly predictions: readonly Prediction[];
  readonly numTokens: number;
}

export type ClassifyFailure =
  | ClassifierFailure
  /** It was trained on features that this platform does not compute any more, or not yet. */
  | { readonly reason: 'other_features'; readonly featureRecipe: string };

/**
 * @param version null for the latest
 * @throws FeatureError when the head shard refuses or keeps failing; AbortedError when `signal` was aborted.
 */
export async function classifyTexts(
  { models, features }: ClassifyDeps,
  { tenant, id, version }: { readonly tenant: string; readonly id: string; readonly version: number | null },
  texts: readonly string[],
  signal: AbortSignal,
): Promise<Result<Classified, ClassifyFailure>> {
  const found = await models.find(tenant, id, version);
  if (!found.ok) {
    return found;
  }
  // Before anything is computed in vain, and again below: the version that answers may be another one.
  const remembered = found.value.served.model.featureRecipe;
  if (found.value.confirmed === null && remembered !== recipeName(features)) {
    return err({ reason: 'other_features', featureRecipe: remembered });
  }
  const textModel = await features.textModel();
  const tokens = texts.map((text) => tokensOf(textModel, text));
  const [pooled, confirmed] = await Promise.all([
    featuresOf(features, tokens, signal),
    found.value.confirmed ?? ok(found.value.served),
  ]);
  if (!confirmed.ok) {
    return confirmed;
  }
  const { version: answering, model } = confirmed.value;
  if (model.featureRecipe !== recipeName(features)) {
    return err({ reason: 'other_features', featureRecipe: model.featureRecipe });
  }
  const { features: rows, featureSize, numTokens } = withHashedParts(pooled, texts);
  return ok({
    version: answering,
    kind: model.kind,
    labels: model.labels,
    outOfScopeThreshold: model.outOfScopeThreshold,
    predictions: texts.map((_, row) => predict(model, rows.subarray(row * featureSize, (row + 1) * featureSize))),
    numTokens,
  });
}
