/**
 * Our trainer against scikit-learn's LogisticRegression on the same exported features with the same C. Needs Python and,
 * once, the network for `oracle/scikit-requirements.txt`.
 */
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { expect, it, onTestFinished } from 'vitest';
import { predict } from '../../../shards/classify/model.ts';
import { finish, synthetic, trainingOf } from '../../../shards/classify/test/synthetic.ts';
import { train } from '../../../shards/classify/train.ts';
import { loadKernels } from '../../../wasm/build.ts';
import { f16ToF32 } from '../../../wasm/host/f16.ts';
import { runProgram } from '../run-program.ts';
import { ensureVenv, ORACLE_FOLDER } from '../venv.ts';
import { TEST_OPTIONS } from './default-model.ts';

/** As hard as a real set of intents: nine of ten are right. */
const SHAPE = { numLabels: 12, numExamples: 40, featureSize: 96, noise: 2.8, seed: 31 };
/** Half a point, as promised: of 1,200 unseen examples, 6. */
const ACCURACY_DIFFERENCE_MAX = 0.005;
/** pip may have to fetch 60 MB, and another test file may be doing the same. */
const TEST_MS_MAX = 300_000;

it(
  'agrees with scikit-learn on unseen examples',
  async () => {
    const folder = await mkdtemp(path.join(tmpdir(), 'lamina-scikit-'));
    onTestFinished(() => rm(folder, { recursive: true, force: true }));
    const [known, unseen] = [synthetic(SHAPE), synthetic({ ...SHAPE, numExamples: 100 }, 1)];
    const { model, report } = finish(train(trainingOf(await loadKernels(), known, SHAPE.numLabels)));

    const request = { featureSize: SHAPE.featureSize, c: report.c, labels: known.labels };
    await writeFile(path.join(folder, 'request.json'), JSON.stringify(request));
    await writeFile(path.join(folder, 'train.f16'), known.features);
    await writeFile(path.join(folder, 'test.f16'), unseen.features);
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
    const ours = unseen.labels.map((_, row) => {
      const features = unseen.features.subarray(row * SHAPE.featureSize, (row + 1) * SHAPE.featureSize);
      return predict({ ...model, temperature: 1 }, Float32Array.from(features, f16ToF32));
    });
    const accuracy = (answers: readonly number[]): number =>
      answers.filter((answer, row) => answer === unseen.labels[row]).length / answers.length;
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
