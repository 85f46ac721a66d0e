/** What a training tells about its model: everything in it was measured on examples that the measured model had not seen. */
import type { Calibration } from './calibration.ts';
import type { Candidate, CrossValidation } from './cross-validate.ts';
import { OUT_OF_SCOPE_THRESHOLD } from './out-of-scope.ts';
import { scoreAnswers } from './scores.ts';
import type { ClassifierKind, Targets } from './targets.ts';

export interface LabelReport {
  readonly label: string;
  readonly numExamples: number;
  /** Null when no example of it could be validated. */
  readonly precision: number | null;
  readonly recall: number | null;
  readonly f1: number | null;
}

export interface ConfusionReport {
  readonly actual: string;
  readonly predicted: string;
  readonly count: number;
}

export interface ValidationReport {
  readonly numExamples: number;
  readonly accuracy: number;
  readonly macroF1: number;
  readonly candidates: readonly Candidate[];
  readonly calibration: Calibration;
  readonly confusions: readonly ConfusionReport[];
}

export interface TrainingReport {
  readonly kind: ClassifierKind;
  readonly featureRecipe: string;
  readonly featureSize: number;
  readonly numExamples: number;
  /** Inverse strength of L2 regularisation; null of a model that was imported. */
  readonly c: number | null;
  readonly labels: readonly LabelReport[];
  /** See `ClassifierModel`. */
  readonly outOfScopeThreshold: number;
  /** Null when no label has two different texts: C is the default then, and probabilities are not calibrated. */
  readonly validation: ValidationReport | null;
}

export interface ReportInput {
  readonly targets: Targets;
  readonly labels: readonly string[];
  readonly featureRecipe: string;
  readonly featureSize: number;
  readonly c: number;
  readonly validation: CrossValidation | null;
  readonly calibration: Calibration | null;
}

export function describeTraining(input: ReportInput): TrainingReport {
  const { targets, labels, featureRecipe, featureSize, c, validation, calibration } = input;
  const scores = validation === null ? null : scoreAnswers(validation.outOfFold);
  const counts = targets.countByLabel(Array.from({ length: targets.numRows }, (_, row) => row));
  const labelReports = labels.map((label, index) => {
    const score = scores?.labels[index];
    const isValidated = score !== undefined && score.numValidated > 0;
    return {
      label,
      numExamples: counts[index] ?? 0,
      precision: isValidated ? score.precision : null,
      recall: isValidated ? score.recall : null,
      f1: isValidated ? score.f1 : null,
    };
  });
  const common = {
    kind: targets.kind,
    featureRecipe,
    featureSize,
    numExamples: targets.numRows,
    c,
    outOfScopeThreshold: OUT_OF_SCOPE_THRESHOLD,
  };
  if (validation === null || calibration === null || scores === null) {
    return { ...common, labels: labelReports, validation: null };
  }
  return {
    ...common,
    labels: labelReports,
    validation: {
      numExamples: validation.outOfFold.numRows,
      accuracy: scores.accuracy,
      macroF1: scores.macroF1,
      candidates: validation.candidates,
      calibration,
      confusions: scores.confusions.map(({ actualIndex, predictedIndex, count }) => ({
        actual: labels[actualIndex] ?? '',
        predicted: labels[predictedIndex] ?? '',
        count,
      })),
    },
  };
}
