/**
 * Chooses C by cross-validation along a path: the smallest first, each fit starting from the weights of the one before
 * in the same fold. Every fit's weights and out-of-fold logits are checkpoints, so a training that was cut goes on there.
 */
import type { LinearWorkspace } from '../../wasm/host/linear-workspace.ts';
import { fitTemperature } from './calibration.ts';
import { trainingRowsOf, validatedRowsOf, type Folds } from './folds.ts';
import { C_PATH } from './limits.ts';
import { minimise, type SearchMemory, type Tolerance } from './minimise.ts';
import { evaluate, predictLogits } from './objective.ts';
import { OutOfFold } from './out-of-fold.ts';
import { scoreAnswers } from './scores.ts';
import type { TrainingRows, Work } from './training-rows.ts';
import type { WithinScatter } from './within-scatter.ts';

/** Vectors that outlive the process. Whoever trains keeps them until the training is over. */
export interface Checkpoints {
  load(key: string): Float32Array | null;
  save(key: string, values: Float32Array): void;
  remove(key: string): void;
}

/** Digits beyond these change neither which C is best nor, in the second place, what is measured. */
const TOLERANCE: Tolerance = { gradient: 1e-6, decrease: 3e-3 };

/** For the progress within a fit, whose length nobody knows before. */
const ITERATIONS_TYPICAL = 20;

/** The path ends when calibrated loss has grown by this share over the best: it has one minimum. */
const WORSE_SHARE = 0.01;

export interface Candidate {
  readonly c: number;
  readonly logLoss: number;
  readonly accuracy: number;
}

export interface CrossValidation {
  readonly c: number;
  readonly candidates: readonly Candidate[];
  /** Under the chosen C. */
  readonly outOfFold: OutOfFold;
}

export interface CrossValidationOptions {
  readonly workspace: LinearWorkspace;
  readonly scatter: WithinScatter;
  readonly search: SearchMemory;
  readonly source: TrainingRows;
  readonly folds: Folds;
  readonly checkpoints: Checkpoints;
  /** Told the share that is done, 0 to 1. */
  readonly onProgress: (fraction: number) => void;
}

/** Key of what a fold has learnt under the last C that was tried. */
export const weightsKey = (fold: number): string => `fold-${fold}`;
const logitsKey = (candidate: number, fold: number): string => `logits-${candidate}-${fold}`;
const summaryKey = (candidate: number): string => `summary-${candidate}`;

export function* crossValidate(options: CrossValidationOptions): Work<CrossValidation> {
  const candidates: Candidate[] = [];
  let bestIndex = 0;
  for (const [index, c] of C_PATH.entries()) {
    const candidate = yield* validate(options, index, c);
    candidates.push(candidate);
    const bestLoss = candidates[bestIndex]?.logLoss ?? Infinity;
    const isBest = candidate.logLoss <= bestLoss;
    if (index > 0) {
      // Only the best one's logits are needed any more.
      forEachFold(options.folds, (fold) => options.checkpoints.remove(logitsKey(isBest ? bestIndex : index, fold)));
    }
    bestIndex = isBest ? index : bestIndex;
    if (candidate.logLoss > bestLoss * (1 + WORSE_SHARE)) {
      break;
    }
  }
  options.onProgress(1);
  const outOfFold = yield* validateFolds(options, bestIndex, C_PATH[bestIndex] ?? C_PATH[0]);
  return { c: C_PATH[bestIndex] ?? C_PATH[0], candidates, outOfFold };
}

function* validate(options: CrossValidationOptions, index: number, c: number): Work<Candidate> {
  const known = options.checkpoints.load(summaryKey(index));
  if (known !== null) {
    const [logLoss = NaN, accuracy = NaN] = known;
    return { c, logLoss, accuracy };
  }
  const outOfFold = yield* validateFolds(options, index, c);
  const logLoss = outOfFold.meanLoss(fitTemperature(outOfFold));
  const { accuracy } = scoreAnswers(outOfFold);
  options.checkpoints.save(summaryKey(index), Float32Array.of(logLoss, accuracy));
  return { c, logLoss: Math.fround(logLoss), accuracy: Math.fround(accuracy) };
}

/** Fits what is not a checkpoint yet. */
function* validateFolds(options: CrossValidationOptions, index: number, c: number): Work<OutOfFold> {
  const { folds, checkpoints, source } = options;
  const rowsOf = Array.from({ length: folds.numFolds }, (_, fold) => validatedRowsOf(folds, fold));
  const rows = Uint32Array.from(rowsOf.flatMap((ofFold) => [...ofFold]));
  // Each fold's part is put where it belongs at once: the logits of a large set are not held twice.
  const logits = new Float32Array(rows.length * source.targets.numLabels);
  let end = 0;
  for (const [fold, validated] of rowsOf.entries()) {
    const known = checkpoints.load(logitsKey(index, fold));
    const ofFold = known ?? (yield* fitFold(options, index, c, fold, validated));
    logits.set(ofFold, end);
    end += ofFold.length;
  }
  return new OutOfFold(rows, logits, source.targets);
}

function* fitFold(
  options: CrossValidationOptions,
  index: number,
  c: number,
  fold: number,
  validated: Uint32Array,
): Work<Float32Array> {
  const { workspace, scatter, search, source, folds, checkpoints, onProgress } = options;
  const { weights, gradient } = workspace;
  weights.set(checkpoints.load(weightsKey(fold)) ?? new Float32Array(weights.length));
  const rows = trainingRowsOf(folds, fold);
  // Of the rows that are learnt from only: what is validated has not been looked at.
  yield* scatter.measure(source, rows);
  const numFits = C_PATH.length * folds.numFolds;
  const fit = index * folds.numFolds + fold;
  const problem = { weights, gradient, evaluate: () => evaluate(workspace, scatter, source, rows, c) };
  yield* minimise(problem, TOLERANCE, search, (numDone) =>
    onProgress((fit + numDone / (numDone + ITERATIONS_TYPICAL)) / numFits),
  );
  const logits = validated.length === 0 ? new Float32Array(0) : yield* predictLogits(workspace, source, validated);
  checkpoints.save(weightsKey(fold), weights);
  // Last: who finds these logits finds the weights that gave them.
  checkpoints.save(logitsKey(index, fold), logits);
  onProgress((fit + 1) / numFits);
  return logits;
}

function forEachFold(folds: Folds, visit: (fold: number) => void): void {
  for (let fold = 0; fold < folds.numFolds; fold++) {
    visit(fold);
  }
}
