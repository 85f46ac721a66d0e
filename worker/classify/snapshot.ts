/** How a classifier looks from outside. */
import type { ClassifierSnapshot, TrainingProgress } from './classifier.ts';
import type { ClassifierState, ClassifierStore, TrainingState } from './classifier-store.ts';
import type { TrainingRun } from './training-run.ts';

/** @param run of the training that is under way in this life of the object */
export function snapshotOf(
  store: ClassifierStore,
  state: ClassifierState,
  run: TrainingRun | null,
): ClassifierSnapshot {
  const { id, name, kind, status, createdMs, error, training } = state;
  const versions = store.reports().map((report) => ({
    version: report.version,
    createdMs: report.createdMs,
    numExamples: report.numExamples,
    numLabels: report.labels.length,
    accuracy: report.validation?.accuracy ?? null,
  }));
  return {
    id,
    name,
    kind,
    status,
    createdMs,
    error,
    versions,
    numExamples: store.countExamples(),
    version: versions.at(-1)?.version ?? null,
    progress: training === null ? null : progressOf(training, run),
  };
}

function progressOf(training: TrainingState, run: TrainingRun | null): TrainingProgress {
  const { numExamples } = training;
  const isFit = training.featuresDoneMs !== null;
  const numFeatures = run?.numFeatures ?? (isFit ? numExamples : 0);
  return isFit
    ? { phase: 'fit', fraction: run?.fraction ?? training.fraction, numFeatures, numExamples }
    : { phase: 'features', fraction: numFeatures / Math.max(1, numExamples), numFeatures, numExamples };
}
