/**
 * What is minimised: mean loss + (‖weights‖² + v) / (2 · C · numRows), the intercepts not counted, where v is the variance of
 * logits within the labels as `WithinScatter` measures it. That is scikit-learn's `LogisticRegression(C=C)`, divided by
 * C · numRows, on features that are divided by the square root of 1 + scatter.
 */
import type { LinearWorkspace } from '../../wasm/host/linear-workspace.ts';
import { lossOf } from './loss.ts';
import { standardisedBatches, type TrainingRows, type Work } from './training-rows.ts';
import type { WithinScatter } from './within-scatter.ts';

/**
 * Weights of pieces of words are penalised so much more: as if those features were half as long. At their full length
 * CLINC150 loses a point of accuracy.
 */
const HASHED_PENALTY = 4;

/** @returns the objective at `workspace.weights`, and leaves its gradient in `workspace.gradient`. */
export function* evaluate(
  workspace: LinearWorkspace,
  scatter: WithinScatter,
  source: TrainingRows,
  rows: Uint32Array,
  c: number,
): Work<number> {
  const { cols, logits, shape } = workspace;
  const { numLabels } = shape;
  const loss = lossOf(source.targets.kind);
  workspace.gradient.fill(0);
  let sum = 0;
  for (const batch of standardisedBatches(workspace, source, rows)) {
    workspace.computeLogits(batch.length);
    batch.forEach((row, at) => {
      sum += loss(logits.subarray(at * numLabels, (at + 1) * numLabels), source.targets.labelsOf(row));
    });
    workspace.addGradient(batch.length);
    yield 2 * batch.length * numLabels * cols;
  }
  const penalty = regularise(workspace, source, rows.length, c) + (yield* scatter.penalise(1 / (c * rows.length)));
  return sum / rows.length + penalty;
}

/** Turns the sum of gradients into that of the objective. @returns the part of the weights. */
function regularise(
  { weights, gradient, cols, shape }: LinearWorkspace,
  { hashedSize }: TrainingRows,
  numRows: number,
  c: number,
): number {
  const { featureSize } = shape;
  const strength = 1 / (c * numRows);
  let squares = 0;
  for (let start = 0; start < weights.length; start += cols) {
    for (let col = 0; col < cols; col++) {
      const factor = col < featureSize - hashedSize ? 1 : col < featureSize ? HASHED_PENALTY : 0;
      const weight = weights[start + col] ?? 0;
      squares += factor * weight * weight;
      gradient[start + col] = (gradient[start + col] ?? 0) / numRows + strength * factor * weight;
    }
  }
  return 0.5 * strength * squares;
}

/** Logits of `rows` under the workspace's weights: `[rows.length, numLabels]`. */
export function* predictLogits(
  workspace: LinearWorkspace,
  source: TrainingRows,
  rows: Uint32Array,
): Work<Float32Array> {
  const { numLabels } = workspace.shape;
  const all = new Float32Array(rows.length * numLabels);
  let end = 0;
  for (const batch of standardisedBatches(workspace, source, rows)) {
    workspace.computeLogits(batch.length);
    all.set(workspace.logits.subarray(0, batch.length * numLabels), end);
    end += batch.length * numLabels;
    yield batch.length * numLabels * workspace.cols;
  }
  return all;
}
