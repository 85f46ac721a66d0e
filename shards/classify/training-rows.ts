/** The examples that a classifier learns from, as the trainer reads them. */
import type { LinearWorkspace } from '../../wasm/host/linear-workspace.ts';
import { BATCH_ROWS_MAX } from './limits.ts';
import type { Targets } from './targets.ts';

export interface TrainingRows {
  readonly featureSize: number;
  /** Size of a part of the features: see `LinearShape`. */
  readonly partSize: number;
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

/** Mean and inverse standard deviation of each feature over all rows, into the workspace. */
export function* measureFeatures(workspace: LinearWorkspace, source: TrainingRows, decode: Float32Array): Work<void> {
  const { featureSize, targets } = source;
  const [sums, squares] = [new Float64Array(featureSize), new Float64Array(featureSize)];
  const features = new Uint16Array(featureSize);
  for (let row = 0; row < targets.numRows; row++) {
    source.readFeatures(row, features);
    for (let at = 0; at < featureSize; at++) {
      const value = decode[features[at] ?? 0] ?? 0;
      sums[at] = (sums[at] ?? 0) + value;
      squares[at] = (squares[at] ?? 0) + value * value;
    }
    if (row % BATCH_ROWS_MAX === 0) {
      yield BATCH_ROWS_MAX * featureSize;
    }
  }
  for (let at = 0; at < featureSize; at++) {
    const mean = (sums[at] ?? 0) / targets.numRows;
    const variance = Math.max(0, (squares[at] ?? 0) / targets.numRows - mean * mean);
    workspace.means[at] = mean;
    // A feature that never changes says nothing; f16 has noise of 2^-11 of its value.
    const isConstant = variance <= (mean * 2 ** -11) ** 2;
    workspace.scales[at] = isConstant ? 0 : 1 / Math.sqrt(variance);
  }
}
