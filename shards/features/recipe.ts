import type { FeaturePart } from './feature-protocol.ts';

export interface FeatureRecipe {
  /** Raised with every change: a classifier is of use only with the features that it was trained on. */
  readonly version: number;
  readonly parts: readonly FeaturePart[];
  readonly windowTokens: number;
  /**
   * Parts of a classifier's features, after those of hidden states and as large, that count pieces of words: see
   * `addHashedNgrams`. They need the text alone, so the head shard does not know of them.
   */
  readonly numHashedParts: number;
}

/**
 * What classification and embeddings are made of. `docs/classification.md` has the measurements behind it. Its hidden
 * states have a few dimensions of enormous values, so whoever uses features standardises each dimension first and scales
 * each part to length 1.
 */
export const FEATURE_RECIPE: FeatureRecipe = {
  version: 3,
  parts: [
    { numLayers: 1, pooling: 'mean' },
    { numLayers: 6, pooling: 'mean' },
    { numLayers: 10, pooling: 'mean' },
    { numLayers: 6, pooling: 'max' },
  ],
  windowTokens: 64,
  numHashedParts: 2,
};

/** Layers that the head of a model needs for the recipe. */
export const FEATURE_NUM_LAYERS = Math.max(...FEATURE_RECIPE.parts.map(({ numLayers }) => numLayers));

/** Parts of a classifier's features. */
export const CLASSIFIER_NUM_PARTS = FEATURE_RECIPE.parts.length + FEATURE_RECIPE.numHashedParts;
