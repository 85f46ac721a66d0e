/** The examples that a classifier learns from, as the trainer reads them. */
import type { LinearWorkspace } from '../../wasm/host/linear-workspace.ts';
import { BATCH_ROWS_MAX } from './limits.ts';
import type { Targets } from './targets.ts';

export interface TrainingRows {
  readonly featureSize: number;
  /** Size of a part of the features: see `LinearShape`. */
  readonly partSize: number;
  /** The last so many features count hashed pieces of words; 0 where there are none. */
  readonly hashedSize: number;
  readonly targets: Targets;
  /** Writes the features of `row`, bits of f16 `[featureSize]`, at the beginning of `into`. */
  readFeatures(row: number, into: Uint16Array): void;
}

/**
 * How long-running work is cut into slices: a generator that yields the multiply-adds it has just done, so that whoever
 * drives it can stop for a while wherever it likes. Clocks stand still in Workers while code runs, so work is counted.
 */
export type Work<T> = Generator<number, T, void>;

/** Batches of `rows`, in order, each read into the workspace and standardised. */
export function* standardisedBatches(
  workspace: LinearWorkspace,
  source: TrainingRows,
  rows: Uint32Array,
): Generator<Uint32Array, void, void> {
  for (let start = 0; start < rows.length; start += BATCH_ROWS_MAX) {
    const batch = rows.subarray(start, start + BATCH_ROWS_MAX);
    batch.forEach((row, at) => source.readFeatures(row, workspace.features.subarray(at * source.featureSize)));
    workspace.standardise(batch.length);
    yield batch;
  }
}

/** What is taken from each feature and what it is multiplied with, from all rows, into the workspace. */
export function* measureFeatures(workspace: LinearWorkspace, source: TrainingRows, decode: Float32Array): Work<void> {
  const { featureSize, hashedSize, targets } = source;
  const [sums, squares] = [new Float64Array(featureSize), new Float64Array(featureSize)];
  const numPresent = new Uint32Array(featureSize);
  const features = new Uint16Array(featureSize);
  for (let row = 0; row < targets.numRows; row++) {
    source.readFeatures(row, features);
    for (let at = 0; at < featureSize; at++) {
      const value = decode[features[at] ?? 0] ?? 0;
      sums[at] = (sums[at] ?? 0) + value;
      squares[at] = (squares[at] ?? 0) + value * value;
      numPresent[at] = (numPresent[at] ?? 0) + (value === 0 ? 0 : 1);
    }
    if (row % BATCH_ROWS_MAX === 0) {
      yield BATCH_ROWS_MAX * featureSize;
    }
  }
  for (let at = 0; at < featureSize; at++) {
    const isHashed = at >= featureSize - hashedSize;
    workspace.means[at] = isHashed ? 0 : (sums[at] ?? 0) / targets.numRows;
    workspace.scales[at] = isHashed
      ? inverseFrequency(numPresent[at] ?? 0, targets.numRows)
      : inverseDeviation(sums[at] ?? 0, squares[at] ?? 0, targets.numRows);
  }
}

/** 0 for a feature that never changes: it says nothing. */
function inverseDeviation(sum: number, squares: number, numRows: number): number {
  const mean = sum / numRows;
  const variance = Math.max(0, squares / numRows - mean * mean);
  // f16 has noise of 2^-11 of its value.
  return variance <= (mean * 2 ** -11) ** 2 ? 0 : 1 / Math.sqrt(variance);
}

/**
 * What a piece of a word weighs: less, the more texts have it (Spärck Jones, "A Statistical Interpretation of Term
 * Specificity", 1972), as scikit-learn's `TfidfTransformer` has it. One that no text has counts most: nothing is learnt of
 * it, but a text full of them has little weight left for what is known.
 */
function inverseFrequency(numPresent: number, numRows: number): number {
  return 1 + Math.log((numRows + 1) / (numPresent + 1));
}
