/**
 * What is minimised: mean loss + (‖weights‖² + v) / (2 · C · numRows), the intercepts not counted, where v is the variance of
 * logits within the labels as `WithinScatter` measures it. That is scikit-learn's `LogisticRegression(C=C)`, divided by
 * C · numRows, on features that are divided by the square root of 1 + scatter.
 */
import type { LinearWorkspace } from '../../wasm/host/linear-workspace.ts';
import { lossOf } from './loss.ts';
import { standardisedBatches, type TrainingRows, type Work } from './training-rows.ts';
import type { WithinScatter } from './within-scatter.ts';

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
  const penalty = regularise(workspace, rows.length, c) + (yield* scatter.penalise(1 / (c * rows.length)));
  return sum / rows.length + penalty;
}

/** Turns the sum of gradients into that of the objective. @returns the part of the weights. */
function regularise({ weights, gradient, cols, shape }: LinearWorkspace, numRows: number, c: number): number {
  const strength = 1 / (c * numRows);
  let squares = 0;
  for (let start = 0; start < weights.length; start += cols) {
    for (let col = 0; col < cols; col++) {
      const weight = col < shape.featureSize ? (weights[start + col] ?? 0) : 0;
      squares += weight * weight;
      gradient[start + col] = (gradient[start + col] ?? 0) / numRows + strength * weight;
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
