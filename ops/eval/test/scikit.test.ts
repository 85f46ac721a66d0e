/**
 * Our trainer against scikit-learn's LogisticRegression on the features of real texts with the same C: thirty intents of a
 * bank, many of them close to each other. Needs the default model, Python and, once, the network for
 * `oracle/scikit-requirements.txt`.
 */
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { expect, it, onTestFinished } from 'vitest';
import { predict } from '../../../shards/classify/model.ts';
import { finish, rowsOf, trainingOf } from '../../../shards/classify/test/synthetic.ts';
import { train } from '../../../shards/classify/train.ts';
import { CLASSIFIER_NUM_PARTS, FEATURE_RECIPE } from '../../../shards/features/recipe.ts';
import { f16ToF32, f32ToF16 } from '../../../wasm/host/f16.ts';
import { withHashedParts } from '../../../worker/classify/text-features.ts';
import type { MeasuredModel } from '../prepare.ts';
import { runProgram } from '../run-program.ts';
import { featuresOfTexts } from '../text-features.ts';
import { ensureVenv, ORACLE_FOLDER } from '../venv.ts';
import { prepareWhenUnlocked, TEST_OPTIONS } from './default-model.ts';

type LabelledText = readonly [text: string, label: string];

/** Half a point, as promised: of 360 unseen examples, one. */
const ACCURACY_DIFFERENCE_MAX = 0.005;
/** pip may have to fetch 60 MB, and another test file may be doing the same. */
const TEST_MS_MAX = 300_000;

/** Bits of f16, as a classifier keeps them. */
async function featuresOf(model: MeasuredModel, texts: readonly string[]) {
  const pieces = await featuresOfTexts(model, texts, FEATURE_RECIPE.parts);
  const features = Float32Array.from(pieces.flatMap((piece) => [...piece]));
  const featureSize = features.length / texts.length;
  const partSize = featureSize / FEATURE_RECIPE.parts.length;
  const whole = withHashedParts({ features, featureSize, partSize, numTokens: 0 }, texts);
  return { bits: Uint16Array.from(whole.features, f32ToF16), featureSize: whole.featureSize, partSize };
}

it(
  'agrees with scikit-learn on unseen texts',
  async () => {
    const folder = await mkdtemp(path.join(tmpdir(), 'lamina-scikit-'));
    onTestFinished(() => rm(folder, { recursive: true, force: true }));
    const sets = JSON.parse(await readFile(new URL('../golden/intents.json', import.meta.url), 'utf8')) as {
      readonly train: readonly LabelledText[];
      readonly val: readonly LabelledText[];
    };
    const names = [...new Set(sets.train.map(([, label]) => label))].sort();
    const labelsOf = (set: readonly LabelledText[]): number[] => set.map(([, label]) => names.indexOf(label));
    const textsOf = (set: readonly LabelledText[]): string[] => set.map(([text]) => text);
    const measured = await prepareWhenUnlocked(undefined);
    const known = await featuresOf(measured, textsOf(sets.train));
    const unseen = await featuresOf(measured, textsOf(sets.val));
    const { featureSize, partSize } = known;

    const options = trainingOf(measured.kernels, { features: known.bits, labels: labelsOf(sets.train) }, names.length);
    const hashedSize = partSize * FEATURE_RECIPE.numHashedParts;
    const source = { ...rowsOf(known.bits, featureSize, options.source.targets), partSize, hashedSize };
    const { model, report } = finish(train({ ...options, source }));

    const numDenseParts = FEATURE_RECIPE.parts.length;
    const numHashedParts = CLASSIFIER_NUM_PARTS - numDenseParts;
    const request = { partSize, numDenseParts, numHashedParts, c: report.c, labels: labelsOf(sets.train) };
    await writeFile(path.join(folder, 'request.json'), JSON.stringify(request));
    await writeFile(path.join(folder, 'train.f16'), known.bits);
    await writeFile(path.join(folder, 'test.f16'), unseen.bits);
    const python = await ensureVenv({
      ...TEST_OPTIONS,
      name: 'venv-scikit',
      requirements: path.join(ORACLE_FOLDER, 'scikit-requirements.txt'),
    });
    const result = await runProgram(python, [path.join(ORACLE_FOLDER, 'logistic_regression.py'), folder], process.env);
    expect(result).toMatchObject({ ok: true });
    const theirs = JSON.parse(await readFile(path.join(folder, 'answers.json'), 'utf8')) as {
      readonly answers: readonly number[];
      readonly probabilities: readonly number[];
    };

    // Scikit-learn's probabilities are not calibrated: ours are compared before the temperature.
    const ours = sets.val.map((_, row) => {
      const features = unseen.bits.subarray(row * featureSize, (row + 1) * featureSize);
      return predict({ ...model, temperature: 1 }, Float32Array.from(features, f16ToF32));
    });
    const right = labelsOf(sets.val);
    const accuracy = (answers: readonly number[]): number =>
      answers.filter((answer, row) => answer === right[row]).length / answers.length;
    const ourAnswers = ours.map(({ bestIndex }) => bestIndex);
    expect(accuracy(ourAnswers)).toBeGreaterThan(0.8);
    expect(accuracy(ourAnswers)).toBeLessThan(0.99);
    expect(Math.abs(accuracy(ourAnswers) - accuracy(theirs.answers))).toBeLessThanOrEqual(ACCURACY_DIFFERENCE_MAX);
    const differences = ours.map(({ probabilities }, row) =>
      Math.abs((probabilities[theirs.answers[row] ?? 0] ?? 0) - (theirs.probabilities[row] ?? 0)),
    );
    expect(Math.max(...differences)).toBeLessThan(0.03);
  },
  TEST_MS_MAX,
);
