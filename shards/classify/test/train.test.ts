/** Whole trainings on synthetic sets: what is learnt, what the report says of it, and what a cut in the middle changes. */
import { describe, expect, it } from 'vitest';
import { f16ToF32, f32ToF16 } from '../../../wasm/host/f16.ts';
import { Random } from '../../../wasm/test/random.ts';
import { loadKernels } from '../../../wasm/build.ts';
import { C_DEFAULT, C_PATH } from '../limits.ts';
import { featureSizeOf, modelBytes, predict, type ClassifierModel } from '../model.ts';
import { Targets } from '../targets.ts';
import { train } from '../train.ts';
import { finish, rowsOf, synthetic, trainingOf, type Synthetic } from './synthetic.ts';

const kernels = await loadKernels();
const SHAPE = { numLabels: 6, numExamples: 20, featureSize: 32, noise: 1.4, seed: 11 };

function featuresOf({ features, labels }: Synthetic, row: number): Float32Array {
  const size = features.length / labels.length;
  return Float32Array.from(features.subarray(row * size, (row + 1) * size), f16ToF32);
}

function accuracyOf(model: ClassifierModel, set: Synthetic): number {
  const right = set.labels.filter((label, row) => predict(model, featuresOf(set, row)).bestIndex === label);
  return right.length / set.labels.length;
}

describe('train', () => {
  const set = synthetic(SHAPE);
  const { model, report } = finish(train(trainingOf(kernels, set, SHAPE.numLabels)));

  it('learns, and says before how well', () => {
    const unseen = synthetic(SHAPE, 1);
    expect(accuracyOf(model, unseen)).toBeGreaterThan(0.8);
    expect(Math.abs(accuracyOf(model, unseen) - (report.validation?.accuracy ?? 0))).toBeLessThan(0.08);
    expect(report).toMatchObject({ kind: 'single', numExamples: 120, featureSize: 32, featureRecipe: 'synthetic' });
    expect(report.labels).toHaveLength(6);
    expect(report.labels[0]).toMatchObject({ label: 'label 0', numExamples: 20 });
    expect(report.validation?.numExamples).toBe(120);
    expect(report.validation?.calibration.ece).toBeLessThan(0.1);
    expect(C_PATH).toContain(report.c);
    expect(featureSizeOf(model)).toBe(32);
    expect(modelBytes(model)).toBe(4 * (2 * 32 + 6 * 32 + 6));
  });

  it('gives probabilities that sum to 1, and ranks what is far from every label as out of scope', () => {
    const known = predict(model, featuresOf(set, 0));
    expect(known.probabilities.reduce((sum, value) => sum + value, 0)).toBeCloseTo(1, 5);
    const foreign = synthetic({ ...SHAPE, seed: 999 }, 1);
    const unseen = synthetic(SHAPE, 2);
    const outOfScope = (from: Synthetic): number[] =>
      from.labels.map((_, row) => predict(model, featuresOf(from, row)).outOfScope ?? NaN).sort((a, b) => a - b);
    expect(outOfScope(foreign)[60]).toBeGreaterThan(outOfScope(unseen)[90] ?? 1);
  });

  it('gives the same to the bit when it was cut anywhere and went on from its checkpoints', () => {
    const whole = trainingOf(kernels, set, SHAPE.numLabels);
    let numSlices = 0;
    finish(train(whole), () => (numSlices += 1));
    for (const share of [0.1, 0.4, 0.7, 0.95]) {
      const options = trainingOf(kernels, set, SHAPE.numLabels);
      const cut = train(options);
      for (let slice = 0; slice < numSlices * share; slice++) {
        cut.next();
      }
      let numLeft = 0;
      const resumed = finish(train(options), () => (numLeft += 1));
      expect(resumed).toEqual({ model, report });
      if (share > 0.2) {
        expect(numLeft).toBeLessThan(numSlices * (1.1 - share * 0.8));
      }
    }
  });

  it('refuses features of another size', () => {
    expect(() => predict(model, new Float32Array(31))).toThrow('takes 32 features, got 31');
  });
});

describe('train on few examples', () => {
  it('uses the default C and no calibration where nothing can be validated', () => {
    const set = synthetic({ ...SHAPE, numExamples: 1, noise: 0.1 });
    const { model, report } = finish(train(trainingOf(kernels, set, SHAPE.numLabels)));
    expect(report).toMatchObject({ c: C_DEFAULT, validation: null });
    expect(report.labels[0]).toEqual({ label: 'label 0', numExamples: 1, precision: null, recall: null, f1: null });
    expect(predict(model, featuresOf(set, 0))).toMatchObject({ bestIndex: 0, outOfScope: null });
    expect(accuracyOf(model, synthetic({ ...SHAPE, noise: 0.1 }, 1))).toBeGreaterThan(0.95);
  });

  it('validates labels that have two examples beside one that has a single one', () => {
    const set = synthetic({ ...SHAPE, numExamples: 2, noise: 0.3 });
    const labels = set.labels.slice(0, -1);
    const { report } = finish(train(trainingOf(kernels, { features: set.features.subarray(0, 11 * 32), labels }, 6)));
    expect(report.validation?.numExamples).toBe(10);
    expect(report.labels[5]).toMatchObject({ numExamples: 1, f1: null });
  });

  it('survives features that never change and examples that are all the same', () => {
    const features = new Uint16Array(8 * 32).fill(0x3c00);
    const { model } = finish(train(trainingOf(kernels, { features, labels: [0, 1, 0, 1, 0, 1, 0, 1] }, 2)));
    const { probabilities } = predict(model, new Float32Array(32).fill(1));
    expect(probabilities[0]).toBeCloseTo(0.5, 3);
    expect([...model.scales]).toEqual(Array.from({ length: 32 }, () => 0));
  });
});

describe('train, multi-label', () => {
  it('says of each label whether it applies', () => {
    const [numLabels, size] = [3, 32];
    const centres = synthetic({ numLabels, numExamples: 1, featureSize: size, noise: 0, seed: 5 });
    const random = new Random(6);
    const labelsOfRows = Array.from({ length: 210 }, (_, row) => [0, 1, 2].filter((label) => ((row % 7) >> label) & 1));
    const features = labelsOfRows.flatMap((labels) => {
      const sums = labels.map((label) => featuresOf(centres, label));
      return Array.from({ length: size }, (_, at) =>
        f32ToF16(sums.reduce((sum, centre) => sum + (centre[at] ?? 0), 0.7 * random.normal())),
      );
    });
    const bits = Uint16Array.from(features);
    const options = {
      ...trainingOf(kernels, { features: bits, labels: labelsOfRows.map(() => 0) }, numLabels),
      source: rowsOf(bits, size, new Targets('multi', numLabels, labelsOfRows)),
    };
    const { model, report } = finish(train(options));
    expect(report.validation?.accuracy).toBeGreaterThan(0.8);
    expect(report.validation?.confusions).toEqual([]);
    expect(report.labels[0]?.f1).toBeGreaterThan(0.9);
    const set = { features: bits, labels: labelsOfRows.map(() => 0) };
    const right = labelsOfRows.filter((labels, row) => {
      const { probabilities } = predict(model, featuresOf(set, row));
      return [0, 1, 2].every((label) => labels.includes(label) === (probabilities[label] ?? 0) > 0.5);
    });
    expect(right.length / labelsOfRows.length).toBeGreaterThan(0.85);
  });
});
