/** A trained classifier, and what it says about a text's features. */
import { indexOfLargest, toProbabilities } from './out-of-fold.ts';
import { inScopeScore, outOfScopeOf, type OutOfScopeScale } from './out-of-scope.ts';
import type { ClassifierKind } from './targets.ts';

export interface ClassifierModel {
  readonly kind: ClassifierKind;
  readonly labels: readonly string[];
  /** Version of the feature recipe: a model is of use with features of this one only. */
  readonly featureRecipe: string;
  /** Features are parts of this size, each with the same share of the length. */
  readonly partSize: number;
  /** `[featureSize]`: taken from the features, and what the difference is multiplied with. */
  readonly means: Float32Array;
  readonly scales: Float32Array;
  /** `[labels.length, featureSize]` */
  readonly weights: Float32Array;
  /** `[labels.length]` */
  readonly intercepts: Float32Array;
  readonly temperature: number;
  /** Null when no example could be validated: nothing is known about what is in scope. */
  readonly outOfScope: OutOfScopeScale | null;
  /** A text is out of scope from here on. */
  readonly outOfScopeThreshold: number;
}

export interface Prediction {
  /** Calibrated, in the order of the model's labels. They sum to 1 unless the classifier is multi-label. */
  readonly probabilities: Float32Array;
  readonly bestIndex: number;
  /** 0 to 1; null when the model does not know. */
  readonly outOfScope: number | null;
}

export function featureSizeOf(model: ClassifierModel): number {
  return model.means.length;
}

/** Bytes that a model takes in memory, labels aside. */
export function modelBytes({ means, scales, weights, intercepts }: ClassifierModel): number {
  return means.byteLength + scales.byteLength + weights.byteLength + intercepts.byteLength;
}

/**
 * @param features of one text, `[featureSize]`, as the head shard gives them
 * @throws Error when they are of another size: then they are of another recipe or model.
 */
export function predict(model: ClassifierModel, features: Float32Array): Prediction {
  const logits = logitsOf(model, features);
  const probabilities = new Float32Array(logits.length);
  toProbabilities(model.kind, logits, model.temperature, probabilities);
  const score = inScopeScore(model.kind, logits, model.temperature);
  return {
    probabilities,
    bestIndex: indexOfLargest(probabilities),
    outOfScope: model.outOfScope === null ? null : outOfScopeOf(model.outOfScope, score),
  };
}

/** The linear layer, as `f16_f32_standardise` and `f32_f32_f32_gemm` compute it, for one text. */
export function logitsOf(model: ClassifierModel, features: Float32Array): Float32Array {
  const { means, weights, intercepts } = model;
  const size = means.length;
  if (features.length !== size) {
    throw new Error(`the classifier takes ${size} features, got ${features.length}: it was trained for another recipe`);
  }
  const standardised = standardise(model, features);
  return intercepts.map((intercept, label) => {
    let sum = intercept;
    for (let at = 0, from = label * size; at < size; at++, from++) {
      sum += (weights[from] ?? 0) * (standardised[at] ?? 0);
    }
    return sum;
  });
}

function standardise({ means, scales, partSize }: ClassifierModel, features: Float32Array): Float32Array {
  const standardised = features.map((value, at) => (value - (means[at] ?? 0)) * (scales[at] ?? 0));
  const numParts = features.length / partSize;
  for (let start = 0; start < features.length; start += partSize) {
    const part = standardised.subarray(start, start + partSize);
    const squares = part.reduce((sum, value) => sum + value * value, 0);
    const factor = squares > 0 ? 1 / Math.sqrt(squares * numParts) : 0;
    part.forEach((value, at) => (part[at] = value * factor));
  }
  return standardised;
}
