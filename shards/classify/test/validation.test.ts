/** Folds, calibration, the scale of "out of scope", and scores: the parts that a report is made of. */
import { describe, expect, it } from 'vitest';
import { Random } from '../../../wasm/test/random.ts';
import { calibrate, fitTemperature } from '../calibration.ts';
import { assignFolds, NOT_VALIDATED, trainingRowsOf, validatedRowsOf, type Folds } from '../folds.ts';
import { CONFUSIONS_MAX, FOLDS_MAX, VALIDATED_LOGITS_MAX, VALIDATED_ROWS_MAX } from '../limits.ts';
import { OutOfFold } from '../out-of-fold.ts';
import { inScopeScore, measureScope, NUM_QUANTILES, outOfScopeOf } from '../out-of-scope.ts';
import { scoreAnswers } from '../scores.ts';
import { Targets } from '../targets.ts';

function singleTargets(labels: readonly number[], numLabels = Math.max(...labels) + 1): Targets {
  return new Targets(
    'single',
    numLabels,
    labels.map((label) => [label]),
  );
}

function foldsOf(labels: readonly number[], groups: readonly number[] = [...labels.keys()]): Folds | null {
  return assignFolds(singleTargets(labels), Uint32Array.from(groups));
}

/** Logits of which a softmax at `temperature` is right exactly as often as it says. */
function honestLogits(numRows: number, numLabels: number, temperature: number, seed: number): OutOfFold {
  const random = new Random(seed);
  const labels: number[] = [];
  const logits = new Float32Array(numRows * numLabels);
  for (let row = 0; row < numRows; row++) {
    const powers = Array.from({ length: numLabels }, (_, label) => {
      const logit = 3 * random.normal();
      logits[row * numLabels + label] = logit;
      return Math.exp(logit / temperature);
    });
    let left = random.unit() * powers.reduce((sum, power) => sum + power, 0);
    const drawn = powers.findIndex((power) => (left -= power) < 0);
    labels.push(Math.max(0, drawn));
  }
  return new OutOfFold(Uint32Array.from(labels.keys()), logits, singleTargets(labels, numLabels));
}

describe('assignFolds', () => {
  it('spreads each label evenly and validates every row once', () => {
    const labels = Array.from({ length: 103 }, (_, row) => row % 4);
    const folds = foldsOf(labels);
    expect(folds?.numFolds).toBe(FOLDS_MAX);
    const validated = Array.from({ length: FOLDS_MAX }, (_, fold) => validatedRowsOf(folds as Folds, fold));
    expect(validated.flatMap((rows) => [...rows]).sort((a, b) => a - b)).toEqual([...labels.keys()]);
    for (const [fold, rows] of validated.entries()) {
      const counts = [0, 1, 2, 3].map((label) => rows.filter((row) => labels[row] === label).length);
      expect(Math.max(...counts) - Math.min(...counts)).toBeLessThanOrEqual(1);
      const training = new Set(trainingRowsOf(folds as Folds, fold));
      expect(training.size + rows.length).toBe(labels.length);
      expect(rows.some((row) => training.has(row))).toBe(false);
    }
  });

  it('never validates the only example of a label, or of its only text, and keeps equal texts together', () => {
    const folds = foldsOf([0, 0, 1, 2, 2, 0, 0], [0, 1, 2, 3, 3, 1, 5]);
    expect(folds?.foldOf[2]).toBe(NOT_VALIDATED);
    expect(folds?.foldOf[3]).toBe(NOT_VALIDATED);
    expect(folds?.foldOf[4]).toBe(NOT_VALIDATED);
    expect(folds?.foldOf[1]).toBe(folds?.foldOf[5]);
    expect(folds?.foldOf[0]).not.toBe(NOT_VALIDATED);
    expect(folds?.isDrawn).toEqual(new Uint8Array(7).fill(1));
  });

  it('has no folds when every label has one text', () => {
    expect(foldsOf([0, 1, 2])).toBeNull();
    expect(foldsOf([0, 1, 0], [0, 1, 0])).toBeNull();
  });

  it('draws from a set that is larger than its limit, and takes all of one that is not', () => {
    const drawn = (numRows: number): number =>
      foldsOf(Array.from({ length: numRows }, (_, row) => row % 2))?.isDrawn.reduce((sum, value) => sum + value, 0) ??
      0;
    expect(drawn(VALIDATED_ROWS_MAX)).toBe(VALIDATED_ROWS_MAX);
    expect(drawn(VALIDATED_ROWS_MAX + 2000)).toBe(VALIDATED_ROWS_MAX);
  });

  it('draws fewer where many labels make the logits large', () => {
    const drawn = (numRows: number): number => {
      const targets = singleTargets(
        Array.from({ length: numRows }, (_, row) => row % 500),
        500,
      );
      const folds = assignFolds(
        targets,
        Uint32Array.from({ length: numRows }, (_, row) => row),
      );
      return folds?.isDrawn.reduce((sum, value) => sum + value, 0) ?? 0;
    };
    expect(drawn(VALIDATED_LOGITS_MAX / 500)).toBe(VALIDATED_LOGITS_MAX / 500);
    expect(drawn(VALIDATED_LOGITS_MAX / 500 + 500)).toBe(VALIDATED_LOGITS_MAX / 500);
  });
});

describe('calibration', () => {
  it.each([0.3, 1, 4])('finds the temperature %f that makes logits honest', (temperature) => {
    const outOfFold = honestLogits(4000, 6, temperature, 21);
    expect(fitTemperature(outOfFold) / temperature).toBeCloseTo(1, 1);
    const { ece, bins, logLoss } = calibrate(outOfFold);
    expect(ece).toBeLessThan(0.03);
    expect(bins.reduce((sum, { count }) => sum + count, 0)).toBe(4000);
    expect(logLoss).toBeLessThanOrEqual(outOfFold.meanLoss(temperature) + 1e-6);
  });

  it('sees that confidence without reason is off', () => {
    const honest = honestLogits(4000, 6, 1, 5);
    const wrong = new OutOfFold(
      honest.rows,
      Float32Array.from({ length: 4000 * 6 }, (_, at) => (at % 6 === 0 ? 5 : 0)),
      honest.targets,
    );
    // Nothing is left but to be as confident as it is right on average.
    const { bins, temperature } = calibrate(wrong);
    expect(temperature).toBeGreaterThan(10);
    expect(bins).toHaveLength(1);
    expect(bins[0]?.meanConfidence).toBeCloseTo(bins[0]?.accuracy ?? 0, 1);
  });

  it('calibrates the labels of a multi-label classifier one by one', () => {
    const random = new Random(4);
    const logits = Float32Array.from({ length: 3000 * 3 }, () => 4 * random.normal());
    const labelsOf = (row: number): number[] =>
      [0, 1, 2].filter((label) => random.unit() < 1 / (1 + Math.exp(-(logits[row * 3 + label] ?? 0) / 2)));
    const targets = new Targets(
      'multi',
      3,
      Array.from({ length: 3000 }, (_, row) => labelsOf(row)),
    );
    const { temperature, ece, bins } = calibrate(
      new OutOfFold(
        Uint32Array.from({ length: 3000 }, (_, i) => i),
        logits,
        targets,
      ),
    );
    expect(temperature / 2).toBeCloseTo(1, 1);
    expect(ece).toBeLessThan(0.03);
    expect(bins.reduce((sum, { count }) => sum + count, 0)).toBe(9000);
  });
});

describe('the scale of "out of scope"', () => {
  const outOfFold = honestLogits(1000, 5, 1, 77);
  const scale = measureScope(outOfFold, 1);

  it('calls the named share of texts in scope foreign', () => {
    const scores = Array.from(outOfFold.rows, (_, index) =>
      outOfScopeOf(scale, inScopeScore('single', outOfFold.logitsOf(index), 1)),
    );
    for (const threshold of [0.5, 0.9, 0.95]) {
      expect(scores.filter((score) => score >= threshold).length / 1000).toBeCloseTo(1 - threshold, 2);
    }
  });

  it('falls with the score, strictly, and stays between 0 and 1 beyond what was seen', () => {
    expect(scale.quantiles).toHaveLength(NUM_QUANTILES);
    const [lowest, highest] = [scale.quantiles[0] ?? 0, scale.quantiles.at(-1) ?? 0];
    const steps = Array.from({ length: 400 }, (_, at) => lowest - 5 + (at / 400) * (highest - lowest + 10));
    const values = steps.map((score) => outOfScopeOf(scale, score));
    values.slice(1).forEach((value, at) => expect(value).toBeLessThan(values[at] ?? 0));
    expect(Math.min(...values)).toBeGreaterThan(0);
    expect(Math.max(...values)).toBeLessThan(1);
  });

  it('works when every text had the same score', () => {
    const flat = { numRows: 3, quantiles: Array.from({ length: NUM_QUANTILES }, () => 2) };
    expect(outOfScopeOf(flat, 1)).toBeGreaterThan(0.7);
    expect(outOfScopeOf(flat, 3)).toBeLessThan(0.3);
    expect(Number.isFinite(outOfScopeOf(flat, 2))).toBe(true);
  });
});

describe('scoreAnswers', () => {
  it('counts right answers, F1 and what was taken for what', () => {
    const answers = [0, 0, 1, 1, 1, 2];
    const logits = Float32Array.from({ length: 6 * 3 }, (_, at) => (answers[Math.floor(at / 3)] === at % 3 ? 1 : 0));
    const scores = scoreAnswers(
      new OutOfFold(Uint32Array.from(answers.keys()), logits, singleTargets([0, 1, 1, 1, 2, 2])),
    );
    expect(scores.accuracy).toBeCloseTo(4 / 6);
    expect(scores.labels.map(({ f1 }) => f1)).toEqual([2 / 3, 2 / 3, 2 / 3]);
    expect(scores.macroF1).toBeCloseTo(2 / 3);
    expect(scores.confusions).toEqual([
      { actualIndex: 1, predictedIndex: 0, count: 1 },
      { actualIndex: 2, predictedIndex: 1, count: 1 },
    ]);
  });

  it('lists as many confusions as its limit', () => {
    const numLabels = 2 * CONFUSIONS_MAX;
    const labels = Array.from({ length: numLabels }, (_, label) => label);
    const logits = Float32Array.from({ length: numLabels * numLabels }, (_, at) => {
      const [row, label] = [Math.floor(at / numLabels), at % numLabels];
      return label === (row + 1) % numLabels ? 1 : 0;
    });
    const scores = scoreAnswers(new OutOfFold(Uint32Array.from(labels), logits, singleTargets(labels)));
    expect(scores.accuracy).toBe(0);
    expect(scores.confusions).toHaveLength(CONFUSIONS_MAX);
  });

  it('wants all labels of a multi-label example right', () => {
    const targets = new Targets('multi', 2, [[0, 1], [0], []]);
    const logits = Float32Array.of(1, 1, 1, 1, -1, -1);
    const scores = scoreAnswers(new OutOfFold(Uint32Array.of(0, 1, 2), logits, targets));
    expect(scores.accuracy).toBeCloseTo(2 / 3);
    expect(scores.labels.map(({ precision, recall }) => [precision, recall])).toEqual([
      [1, 1],
      [0.5, 1],
    ]);
  });
});
