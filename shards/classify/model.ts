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
  return multiply(weights, standardise(model, features), intercepts);
}

/**
 * Rows that are multiplied side by side: sums that do not wait for each other, and four products for one feature that is
 * read. Each row's sum keeps its order, so it is what the row alone would give.
 */
const ROWS_AT_ONCE = 4;

/** `weights` `[labels, size]` times `features` `[size]`, plus the intercepts. Sums are f64. */
function multiply(weights: Float32Array, features: Float32Array, intercepts: Float32Array): Float32Array {
  const size = features.length;
  const logits = new Float32Array(intercepts.length);
  const numBlockRows = logits.length - (logits.length % ROWS_AT_ONCE);
  for (let label = 0; label < numBlockRows; label += ROWS_AT_ONCE) {
    const row = label * size;
    let sum0 = intercepts[label] as number;
    let sum1 = intercepts[label + 1] as number;
    let sum2 = intercepts[label + 2] as number;
    let sum3 = intercepts[label + 3] as number;
    for (let at = 0; at < size; at++) {
      const feature = features[at] as number;
      sum0 += (weights[row + at] as number) * feature;
      sum1 += (weights[row + size + at] as number) * feature;
      sum2 += (weights[row + 2 * size + at] as number) * feature;
      sum3 += (weights[row + 3 * size + at] as number) * feature;
    }
    logits[label] = sum0;
    logits[label + 1] = sum1;
    logits[label + 2] = sum2;
    logits[label + 3] = sum3;
  }
  for (let label = numBlockRows; label < logits.length; label++) {
    let sum = intercepts[label] as number;
    for (let at = 0, from = label * size; at < size; at++, from++) {
      sum += (weights[from] as number) * (features[at] as number);
    }
    logits[label] = sum;
  }
  return logits;
}

function standardise({ means, scales, partSize }: ClassifierModel, features: Float32Array): Float32Array {
  const standardised = new Float32Array(features.length);
  const numParts = features.length / partSize;
  for (let start = 0; start < features.length; start += partSize) {
    const end = start + partSize;
    let squares = 0;
    for (let at = start; at < end; at++) {
      standardised[at] = ((features[at] as number) - (means[at] as number)) * (scales[at] as number);
      const rounded = standardised[at] as number;
      squares += rounded * rounded;
    }
    const factor = squares > 0 ? 1 / Math.sqrt(squares * numParts) : 0;
    for (let at = start; at < end; at++) {
      standardised[at] = (standardised[at] as number) * factor;
    }
  }
  return standardised;
}
