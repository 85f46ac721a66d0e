import { expect, it } from 'vitest';
import { logitsOf, type ClassifierModel } from '../model.ts';

const PART_SIZE = 6;
const SIZE = 2 * PART_SIZE;

/** Values that no order of a sum treats alike. */
const values = (length: number, seed: number): Float32Array =>
  Float32Array.from({ length }, (_, at) => Math.sin((at + 1) * 12.9898 * seed) * 10 ** ((at * seed) % 5));

function modelOf(numLabels: number): ClassifierModel {
  return {
    kind: 'single',
    labels: Array.from({ length: numLabels }, (_, label) => `label ${label}`),
    featureRecipe: 'test',
    partSize: PART_SIZE,
    means: values(SIZE, 2),
    scales: values(SIZE, 3),
    weights: values(numLabels * SIZE, 5),
    intercepts: values(numLabels, 7),
    temperature: 1,
    outOfScope: null,
    outOfScopeThreshold: 1,
  };
}

/** By the definition, one label after the other. */
function definedLogits({ means, scales, weights, intercepts }: ClassifierModel, features: Float32Array): number[] {
  const at = (of: Float32Array, index: number): number => of[index] as number;
  const scaled = [...features].map((value, index) => Math.fround((value - at(means, index)) * at(scales, index)));
  const standardised = scaled.map((value, index) => {
    const start = index - (index % PART_SIZE);
    const squares = scaled.slice(start, start + PART_SIZE).reduce((sum, other) => sum + other * other, 0);
    return Math.fround(value * (1 / Math.sqrt(squares * (SIZE / PART_SIZE))));
  });
  return [...intercepts].map((intercept, label) =>
    Math.fround(standardised.reduce((sum, value, index) => sum + at(weights, label * SIZE + index) * value, intercept)),
  );
}

it.each([1, 2, 3, 4, 5, 7, 8, 9])('logits of %i labels are what each label alone gives, to the bit', (numLabels) => {
  const model = modelOf(numLabels);
  const features = values(SIZE, 11);
  expect([...logitsOf(model, features)]).toEqual(definedLogits(model, features));
});

it('a part without any length counts for nothing', () => {
  const model = modelOf(2);
  const features = model.means.slice();
  expect([...logitsOf(model, features)]).toEqual([...model.intercepts]);
});
