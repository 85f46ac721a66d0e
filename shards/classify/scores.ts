/** How good answers were: accuracy, F1 of each label, and which labels were taken for which. */
import { CONFUSIONS_MAX } from './limits.ts';
import { indexOfLargest, type OutOfFold } from './out-of-fold.ts';

export interface LabelScore {
  readonly labelIndex: number;
  readonly numValidated: number;
  readonly precision: number;
  readonly recall: number;
  readonly f1: number;
}

export interface Confusion {
  readonly actualIndex: number;
  readonly predictedIndex: number;
  readonly count: number;
}

export interface Scores {
  /** Share of examples whose answer was right; of a multi-label classifier, whose labels were all right. */
  readonly accuracy: number;
  /** Mean F1 of the labels that were validated. */
  readonly macroF1: number;
  readonly labels: readonly LabelScore[];
  /** Of single-label classifiers; the most frequent first. */
  readonly confusions: readonly Confusion[];
}

export function scoreAnswers(outOfFold: OutOfFold): Scores {
  const { numLabels } = outOfFold.targets;
  const [numRight, numActual, numPredicted] = [0, 0, 0].map(() => new Uint32Array(numLabels)) as [
    Uint32Array,
    Uint32Array,
    Uint32Array,
  ];
  const confusions = new Map<number, number>();
  let numExact = 0;
  for (let index = 0; index < outOfFold.numRows; index++) {
    const actual = outOfFold.labelsOf(index);
    const predicted = answersOf(outOfFold, index);
    const right = predicted.filter((label) => actual.includes(label));
    numExact += right.length === predicted.length && right.length === actual.length ? 1 : 0;
    actual.forEach((label) => increment(numActual, label));
    predicted.forEach((label) => increment(numPredicted, label));
    right.forEach((label) => increment(numRight, label));
    if (outOfFold.targets.kind === 'single' && right.length === 0) {
      const pair = (actual[0] ?? 0) * numLabels + (predicted[0] ?? 0);
      confusions.set(pair, (confusions.get(pair) ?? 0) + 1);
    }
  }
  const labels = Array.from({ length: numLabels }, (_, labelIndex) => {
    const [right, all, said] = [numRight, numActual, numPredicted].map((counts) => counts[labelIndex] ?? 0) as [
      number,
      number,
      number,
    ];
    return {
      labelIndex,
      numValidated: all,
      precision: said === 0 ? 0 : right / said,
      recall: all === 0 ? 0 : right / all,
      f1: all + said === 0 ? 0 : (2 * right) / (all + said),
    };
  });
  const validated = labels.filter(({ numValidated }) => numValidated > 0);
  return {
    accuracy: numExact / outOfFold.numRows,
    macroF1: validated.reduce((sum, { f1 }) => sum + f1, 0) / Math.max(1, validated.length),
    labels,
    confusions: [...confusions]
      .sort(([pairA, a], [pairB, b]) => b - a || pairA - pairB)
      .slice(0, CONFUSIONS_MAX)
      .map(([pair, count]) => ({
        actualIndex: Math.floor(pair / numLabels),
        predictedIndex: pair % numLabels,
        count,
      })),
  };
}

function answersOf(outOfFold: OutOfFold, index: number): number[] {
  const logits = outOfFold.logitsOf(index);
  if (outOfFold.targets.kind === 'single') {
    return [indexOfLargest(logits)];
  }
  // A probability of one half is a logit of 0, at any temperature.
  return Array.from(logits.keys()).filter((label) => (logits[label] ?? 0) > 0);
}

function increment(counts: Uint32Array, index: number): void {
  counts[index] = (counts[index] ?? 0) + 1;
}
