/**
 * Labels with some examples, too few to train on: a text is close to the centroid of its label's examples (nearest
 * centroids; Snell et al., "Prototypical Networks", 2017, without training). The fewer examples a label set has, the more
 * the zero-shot scores count: with n of each label, centroids have n / (n + HALF_AT) of the say.
 */

/** Examples a label at which centroids and zero-shot scores count the same. */
export const HALF_AT = 5;
/** Cosines of texts and centroids lie close together; times this their softmax are probabilities. Measured. */
export const COSINE_SCALE = 24;

/** Unit vectors, one after the other. */
export interface UnitVectors {
  readonly values: Float32Array;
  readonly size: number;
}

/**
 * Directions of texts by which they differ: each dimension is standardised by the examples, since the hidden states have a
 * few enormous ones that all texts share, and each part scaled to the same length.
 * @param features `[numTexts + numExamples, size]`: the texts, then the examples
 * @param partSize features of one part
 */
export function directions(features: UnitVectors, partSize: number, numExamples: number): UnitVectors {
  const { size } = features;
  const values = features.values.slice();
  const examples = values.subarray(values.length - numExamples * size);
  for (let at = 0; at < size; at++) {
    const { mean, deviation } = momentsOf(examples, at, size);
    for (let row = at; row < values.length; row += size) {
      values[row] = ((values[row] ?? 0) - mean) / deviation;
    }
  }
  const numParts = size / partSize;
  for (let start = 0; start < values.length; start += partSize) {
    const part = values.subarray(start, start + partSize);
    const norm = Math.sqrt(dot(part, part) * numParts);
    part.forEach((value, at) => (part[at] = norm === 0 ? 0 : value / norm));
  }
  return { values, size };
}

function momentsOf(rows: Float32Array, at: number, size: number): { mean: number; deviation: number } {
  let [sum, squares] = [0, 0];
  for (let row = at; row < rows.length; row += size) {
    const value = rows[row] ?? 0;
    sum += value;
    squares += value * value;
  }
  const numRows = rows.length / size;
  const mean = sum / numRows;
  const variance = Math.max(0, squares / numRows - mean * mean);
  // A dimension in which the examples are alike tells nothing: it is left as it is, around its mean.
  return { mean, deviation: variance > 0 ? Math.sqrt(variance) : 1 };
}

/**
 * Logits of labels by nearest centroid, `[numTexts, numLabels]`. A label without examples gets the mean of the others: then
 * nothing is said about it.
 * @param labelOfExample index of the label of each example
 */
export function centroidLogits(
  texts: UnitVectors,
  examples: UnitVectors,
  labelOfExample: readonly number[],
  numLabels: number,
): Float64Array {
  const { size } = texts;
  const centroids = centroidsOf(examples, labelOfExample, numLabels);
  const numTexts = texts.values.length / size;
  const logits = new Float64Array(numTexts * numLabels);
  for (let text = 0; text < numTexts; text++) {
    const row = texts.values.subarray(text * size, (text + 1) * size);
    const cosines = centroids.map((centroid) => (centroid === null ? null : dot(row, centroid)));
    const known = cosines.filter((cosine) => cosine !== null);
    const mean = known.reduce((sum, cosine) => sum + cosine, 0) / Math.max(1, known.length);
    cosines.forEach((cosine, label) => {
      logits[text * numLabels + label] = COSINE_SCALE * (cosine ?? mean);
    });
  }
  return logits;
}

/**
 * A weighted mean of two kinds of logits over the same labels, each centred first, so that neither counts for its size.
 * @param numExamples a label, on average
 */
export function blendLogits(
  zeroShot: Float64Array,
  centroids: Float64Array,
  numLabels: number,
  numExamples: number,
): Float64Array {
  const share = numExamples / (numExamples + HALF_AT);
  const [a, b] = [centred(zeroShot, numLabels), centred(centroids, numLabels)];
  return a.map((logit, at) => (1 - share) * logit + share * (b[at] ?? 0));
}

function centroidsOf(
  { values, size }: UnitVectors,
  labelOfExample: readonly number[],
  numLabels: number,
): (Float32Array | null)[] {
  return Array.from({ length: numLabels }, (_, label) => {
    const sum = new Float32Array(size);
    labelOfExample.forEach((labelOfThis, example) => {
      if (labelOfThis === label) {
        sum.forEach((value, at) => (sum[at] = value + (values[example * size + at] ?? 0)));
      }
    });
    const norm = Math.sqrt(dot(sum, sum));
    return norm === 0 ? null : sum.map((value) => value / norm);
  });
}

function dot(a: Float32Array, b: Float32Array): number {
  return a.reduce((sum, value, at) => sum + value * (b[at] ?? 0), 0);
}

function centred(logits: Float64Array, numLabels: number): Float64Array {
  const result = new Float64Array(logits.length);
  for (let start = 0; start < logits.length; start += numLabels) {
    const row = logits.subarray(start, start + numLabels);
    const mean = row.reduce((sum, logit) => sum + logit, 0) / numLabels;
    row.forEach((logit, label) => (result[start + label] = logit - mean));
  }
  return result;
}
