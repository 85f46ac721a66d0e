/** From examples to a calibrated model and the report on it. */
import { f16ToF32 } from '../../wasm/host/f16.ts';
import { LinearWorkspace } from '../../wasm/host/linear-workspace.ts';
import { calibrate, type Calibration } from './calibration.ts';
import {
  crossValidate,
  weightsKey,
  type Checkpoints,
  type CrossValidation,
  type CrossValidationOptions,
} from './cross-validate.ts';
import { assignFolds } from './folds.ts';
import { BATCH_ROWS_MAX, C_DEFAULT } from './limits.ts';
import { minimise, SearchMemory, type Tolerance } from './minimise.ts';
import type { ClassifierModel } from './model.ts';
import { evaluate } from './objective.ts';
import { measureScope, OUT_OF_SCOPE_THRESHOLD, type OutOfScopeScale } from './out-of-scope.ts';
import { describeTraining, type TrainingReport } from './report.ts';
import { measureFeatures, type TrainingRows, type Work } from './training-rows.ts';
import { numScatteredParts, WithinScatter } from './within-scatter.ts';

export interface TrainingOptions {
  /** The compiled `kernels.wasm`. */
  readonly kernels: WebAssembly.Module;
  readonly source: TrainingRows;
  readonly labels: readonly string[];
  readonly featureRecipe: string;
  /** A number for each row; rows with the same number have the same text, and are never apart in cross-validation. */
  readonly groupOf: Uint32Array;
  readonly checkpoints: Checkpoints;
  readonly onProgress: (fraction: number) => void;
}

export interface Trained {
  readonly model: ClassifierModel;
  readonly report: TrainingReport;
}

/** Digits that decide an answer are there long before; this is what scikit-learn agrees with to the third place. */
const TOLERANCE: Tolerance = { gradient: 1e-6, decrease: 1e-5 };

/** Share of the time that cross-validation takes, for the progress. */
const VALIDATION_SHARE = 0.85;

/** Of a model whose logits nothing could be compared with. */
const TEMPERATURE_DEFAULT = 1;

/**
 * Trains in slices: see `Work`. What it has learnt so far is in `checkpoints`, and a second run goes on from there.
 * `source` has at least two labels and an example of each.
 */
export function* train(options: TrainingOptions): Work<Trained> {
  const { kernels, source, labels, checkpoints } = options;
  const { featureSize, partSize } = source;
  const shape = { numLabels: labels.length, featureSize, partSize, batchRowsMax: BATCH_ROWS_MAX };
  const workspace = new LinearWorkspace(kernels, shape);
  const scatter = new WithinScatter(kernels, workspace, numScatteredParts(source));
  const search = new SearchMemory(workspace.weights.length);
  yield* measureFeatures(workspace, source, decodeTable());
  const folds = assignFolds(source.targets, options.groupOf);
  const validation =
    folds === null
      ? null
      : yield* crossValidate({
          workspace,
          scatter,
          search,
          source,
          folds,
          checkpoints,
          onProgress: (fraction) => options.onProgress(fraction * VALIDATION_SHARE),
        });
  const calibration = validation === null ? null : calibrate(validation.outOfFold);
  const scope =
    validation === null || calibration === null ? null : measureScope(validation.outOfFold, calibration.temperature);
  const c = validation?.c ?? C_DEFAULT;
  yield* fitAll({ workspace, scatter, search }, options, folds?.numFolds ?? 0, c);
  options.onProgress(1);
  return {
    model: toModel(workspace, options, calibration, scope),
    report: describeTraining({ ...reportInput(options, validation, calibration), c }),
  };
}

function reportInput(options: TrainingOptions, validation: CrossValidation | null, calibration: Calibration | null) {
  const { source, labels, featureRecipe } = options;
  return { targets: source.targets, labels, featureRecipe, featureSize: source.featureSize, validation, calibration };
}

/** The final fit, on every example, from the mean of what the folds have learnt. */
function* fitAll(
  { workspace, scatter, search }: Pick<CrossValidationOptions, 'workspace' | 'scatter' | 'search'>,
  options: TrainingOptions,
  numFolds: number,
  c: number,
): Work<void> {
  const { source, checkpoints, onProgress } = options;
  const { weights, gradient } = workspace;
  weights.fill(0);
  for (let fold = 0; fold < numFolds; fold++) {
    checkpoints.load(weightsKey(fold))?.forEach((weight, at) => {
      weights[at] = (weights[at] ?? 0) + weight / numFolds;
    });
  }
  const rows = Uint32Array.from({ length: source.targets.numRows }, (_, row) => row);
  yield* scatter.measure(source, rows);
  const problem = { weights, gradient, evaluate: () => evaluate(workspace, scatter, source, rows, c) };
  yield* minimise(problem, TOLERANCE, search, (numIterations) => {
    onProgress(VALIDATION_SHARE + (1 - VALIDATION_SHARE) * (numIterations / (numIterations + ITERATIONS_TYPICAL)));
  });
}

const ITERATIONS_TYPICAL = 20;

function toModel(
  { means, scales, weights, cols, shape }: LinearWorkspace,
  { source, labels, featureRecipe }: TrainingOptions,
  calibration: Calibration | null,
  outOfScope: OutOfScopeScale | null,
): ClassifierModel {
  const { featureSize } = shape;
  const kept = new Float32Array(labels.length * featureSize);
  labels.forEach((_, label) => {
    kept.set(weights.subarray(label * cols, label * cols + featureSize), label * featureSize);
  });
  return {
    kind: source.targets.kind,
    labels,
    featureRecipe,
    partSize: shape.partSize,
    means: means.slice(),
    scales: scales.slice(),
    weights: kept,
    intercepts: Float32Array.from(labels, (_, label) => weights[label * cols + featureSize] ?? 0),
    temperature: calibration?.temperature ?? TEMPERATURE_DEFAULT,
    outOfScope,
    outOfScopeThreshold: OUT_OF_SCOPE_THRESHOLD,
  };
}

let f16Values: Float32Array | null = null;

/** All 65,536 f16, by their bits. */
function decodeTable(): Float32Array {
  return (f16Values ??= Float32Array.from({ length: 2 ** 16 }, (_, bits) => f16ToF32(bits)));
}
