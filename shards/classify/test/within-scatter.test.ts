/** The scatter within labels against one that is computed in plain f64, and what it costs to rely on it. */
import { describe, expect, it } from 'vitest';
import { loadKernels } from '../../../wasm/build.ts';
import { f16ToF32, f32ToF16 } from '../../../wasm/host/f16.ts';
import { LinearWorkspace } from '../../../wasm/host/linear-workspace.ts';
import { Random } from '../../../wasm/test/random.ts';
import { measureFeatures, standardisedBatches } from '../training-rows.ts';
import { Targets } from '../targets.ts';
import { SCATTER_BYTES_MAX } from '../limits.ts';
import { numScatteredParts, WithinScatter } from '../within-scatter.ts';
import { finish, rowsOf } from './synthetic.ts';

const kernels = await loadKernels();
const decode = Float32Array.from({ length: 2 ** 16 }, (_, bits) => f16ToF32(bits));
const [NUM_LABELS, PART_SIZE, FEATURE_SIZE] = [70, 8, 24];

/** Two parts that take part and one that does not; more labels than a batch has rows. */
function setUp(labels: readonly number[], valueOf: () => number) {
  const features = Uint16Array.from({ length: labels.length * FEATURE_SIZE }, () => f32ToF16(valueOf()));
  const targets = new Targets(
    'multi',
    NUM_LABELS,
    labels.map((label) => (label < 0 ? [] : [label])),
  );
  const source = { ...rowsOf(features, FEATURE_SIZE, targets), partSize: PART_SIZE, hashedSize: PART_SIZE };
  const shape = { numLabels: NUM_LABELS, featureSize: FEATURE_SIZE, partSize: PART_SIZE, batchRowsMax: 64 };
  const workspace = new LinearWorkspace(kernels, shape);
  finish(measureFeatures(workspace, source, decode));
  const scatter = new WithinScatter(kernels, workspace, 2);
  const rows = Uint32Array.from(labels.keys());
  finish(scatter.measure(source, rows));
  const standardised = [...standardisedBatches(workspace, source, rows)].flatMap((batch) => {
    finish(scatter.measure(source, batch));
    return Array.from(batch, (_, at) =>
      workspace.standardised.slice(at * workspace.cols, at * workspace.cols + FEATURE_SIZE),
    );
  });
  finish(scatter.measure(source, rows));
  return { workspace, scatter, standardised };
}

/** Half the sum over labels of w S w, and S w, in f64. */
function expected(weights: Float32Array, cols: number, rows: readonly Float32Array[], labels: readonly number[]) {
  const gradient = new Float64Array(weights.length);
  let penalty = 0;
  for (const part of [0, 1]) {
    const start = part * PART_SIZE;
    const centred = [...new Set(labels)].flatMap((label) => {
      const own = rows.filter((_, row) => label >= 0 && labels[row] === label).map((row) => row.slice(start));
      return own.map((row) =>
        Array.from({ length: PART_SIZE }, (_, at) => {
          const mean = own.reduce((sum, other) => sum + (other[at] ?? 0), 0) / own.length;
          return (row[at] ?? 0) - mean;
        }),
      );
    });
    const numFree = centred.length - new Set(labels.filter((label) => label >= 0)).size;
    const trace = centred.flat().reduce((sum, value) => sum + value * value, 0);
    const factor = (numFree / (numFree + PART_SIZE)) * (PART_SIZE / trace);
    for (let label = 0; label < NUM_LABELS; label++) {
      const from = label * cols + start;
      for (const row of centred) {
        const logit = row.reduce((sum, value, at) => sum + value * (weights[from + at] ?? 0), 0);
        penalty += 0.5 * factor * logit * logit;
        row.forEach((value, at) => (gradient[from + at] = (gradient[from + at] ?? 0) + factor * logit * value));
      }
    }
  }
  return { penalty, gradient };
}

describe('numScatteredParts', () => {
  it('is as many parts of hidden states as there is memory for', () => {
    const largest = Math.sqrt(SCATTER_BYTES_MAX / 4 / 4);
    const shapeOf = (partSize: number) => ({ partSize, featureSize: 6 * partSize, hashedSize: 2 * partSize });
    expect(numScatteredParts(shapeOf(576))).toBe(4);
    expect(numScatteredParts(shapeOf(largest))).toBe(4);
    expect(numScatteredParts(shapeOf(largest + 8))).toBe(3);
    expect(numScatteredParts(shapeOf(2 * largest + 8))).toBe(0);
  });
});

describe('WithinScatter', () => {
  it('penalises the variance of logits within labels, and nothing else', () => {
    const random = new Random(4);
    // Some labels with many rows, one with one, most with none; some rows without a label.
    const labels = Array.from({ length: 150 }, (_, row) => (row === 7 ? 69 : row % 10 === 3 ? -1 : (row * 7) % 65));
    const { workspace, scatter, standardised } = setUp(labels, () => random.normal());
    workspace.weights.forEach((_, at) => (workspace.weights[at] = random.normal()));
    workspace.gradient.fill(0);
    const penalty = finish(scatter.penalise(0.5));
    const reference = expected(workspace.weights, workspace.cols, standardised, labels);
    expect(penalty / (0.5 * reference.penalty)).toBeCloseTo(1, 4);
    workspace.gradient.forEach((value, at) => expect(value).toBeCloseTo(0.5 * (reference.gradient[at] ?? 0), 3));
  });

  it('is nothing where no label has a second text, and where all texts of a label are the same', () => {
    const random = new Random(5);
    const alone = setUp([0, 1, 2, 3], () => random.normal());
    alone.workspace.weights.fill(1);
    expect(finish(alone.scatter.penalise(1))).toBe(0);
    const same = setUp([0, 0, 0, 0], () => 1.5);
    same.workspace.weights.fill(1);
    expect(finish(same.scatter.penalise(1))).toBe(0);
  });
});
