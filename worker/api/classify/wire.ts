/** Classifiers and their reports as JSON. */
import type { Calibration } from '../../../shards/classify/calibration.ts';
import type { ClassifierSnapshot, VersionReport } from '../../classify/classifier.ts';

const seconds = (ms: number): number => Math.floor(ms / 1000);

export function classifierObject(snapshot: ClassifierSnapshot) {
  const { progress } = snapshot;
  return {
    id: snapshot.id,
    object: 'classifier',
    name: snapshot.name,
    // `queued` is training that has not begun: clients wait for both in the same way.
    status: snapshot.status === 'queued' ? 'training' : snapshot.status,
    created_at: seconds(snapshot.createdMs),
    multi_label: snapshot.kind === 'multi',
    num_examples: snapshot.numExamples,
    version: snapshot.version,
    versions: snapshot.versions.map((version) => ({
      version: version.version,
      created_at: seconds(version.createdMs),
      num_examples: version.numExamples,
      num_labels: version.numLabels,
      accuracy: version.accuracy,
    })),
    progress:
      progress === null
        ? null
        : {
            phase: progress.phase,
            fraction: progress.fraction,
            num_features: progress.numFeatures,
            num_examples: progress.numExamples,
          },
    error: snapshot.error,
  };
}

export function reportObject(id: string, report: VersionReport) {
  const { validation, data } = report;
  return {
    object: 'classifier.report',
    classifier: id,
    version: report.version,
    created_at: seconds(report.createdMs),
    multi_label: report.kind === 'multi',
    feature_recipe: report.featureRecipe,
    num_features: report.featureSize,
    num_examples: report.numExamples,
    c: report.c,
    accuracy: validation?.accuracy ?? null,
    macro_f1: validation?.macroF1 ?? null,
    num_validated: validation?.numExamples ?? 0,
    candidates: (validation?.candidates ?? []).map(({ c, logLoss, accuracy }) => ({ c, log_loss: logLoss, accuracy })),
    calibration: validation === null ? null : calibrationObject(validation.calibration),
    out_of_scope_threshold: validation === null ? null : report.outOfScopeThreshold,
    labels: report.labels.map((label) => ({
      label: label.label,
      num_examples: label.numExamples,
      precision: label.precision,
      recall: label.recall,
      f1: label.f1,
    })),
    confusions: validation?.confusions ?? [],
    data: {
      num_duplicates: data.numDuplicates,
      num_contradictions: data.numContradictions,
      contradictions: data.contradictions,
      singletons: data.singletons,
    },
    notes: notesOf(report),
    features_ms: report.featuresMs,
    fit_ms: report.fitMs,
  };
}

function calibrationObject({ temperature, ece, logLoss, bins }: Calibration) {
  return {
    temperature,
    ece,
    log_loss: logLoss,
    bins: bins.map(({ from, to, count, meanConfidence, accuracy }) => ({
      from,
      to,
      count,
      mean_confidence: meanConfidence,
      accuracy,
    })),
  };
}

/** What was done about examples that are not as they should be, in sentences. */
function notesOf({ validation, data, c }: VersionReport): string[] {
  const notes: string[] = [];
  if (validation === null) {
    notes.push(
      `No label has two different texts, so nothing could be validated: C is the default, ${c}, and scores are not calibrated.`,
    );
  } else if (data.singletons.length > 0) {
    notes.push(
      `Labels with one text only are learnt but not validated: ${data.singletons.length}. Give each at least two examples.`,
    );
  }
  if (data.numContradictions > 0) {
    notes.push(
      `Texts that stand under different labels: ${data.numContradictions}. All of them are learnt from; correct the labels.`,
    );
  }
  if (data.numDuplicates > 0) {
    notes.push(
      `Examples that repeat another: ${data.numDuplicates}. They count, and are never validated by their copies.`,
    );
  }
  return notes;
}
