/** `lamina classify`: train a classifier from a file, test it on another, and classify texts. */
import { mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { createInterface } from 'node:readline';
import {
  classify,
  type ClassifyServer,
  createClassifier,
  type Judge,
  listClassifiers,
  readReport,
  removeClassifier,
  TEXTS_PER_REQUEST,
  waitUntilTrained,
} from '../../classify/classify-client.ts';
import { type Answer, evaluate, type Evaluation } from '../../classify/metrics.ts';
import { confusionHeatMap, reliabilityDiagram } from '../../classify/plots.ts';
import { checkReadable, type ColumnNames, type FileExample, readExamples } from '../../classify/read-examples.ts';
import { formatCount, formatMs, formatTable } from '../../support/format.ts';
import { OperatorError } from '../../support/operator-error.ts';
import { type Progress, runStep } from '../../support/progress.ts';
import { commandContext, resolvePort } from '../context.ts';

export interface ClassifyFlags {
  readonly home?: string;
  readonly url?: string;
  readonly key: string;
}

export interface ColumnFlags extends ClassifyFlags {
  readonly textColumn: string;
  readonly labelColumn: string;
}

export interface TrainFlags extends ColumnFlags {
  readonly name?: string;
  readonly multiLabel?: boolean;
}

export interface TestFlags extends ColumnFlags {
  /** Label of texts that belong to none of the classifier's. */
  readonly oosLabel?: string;
  /** File of such texts. */
  readonly oos?: string;
  readonly plots?: string;
}

export interface RunFlags extends ClassifyFlags {
  readonly labels?: string;
}

/** Confusions that are printed; the heat map has more. */
const CONFUSIONS_PRINTED = 10;

const serverOf = (flags: ClassifyFlags): ClassifyServer => ({
  url: flags.url ?? `http://127.0.0.1:${resolvePort(undefined, process.env)}`,
  key: flags.key,
});

const columnsOf = ({ textColumn, labelColumn }: ColumnFlags): ColumnNames => ({
  text: textColumn,
  label: labelColumn,
});

const percent = (value: number | null): string => (value === null ? '-' : `${(100 * value).toFixed(2)} %`);

export async function trainCommand(file: string, flags: TrainFlags): Promise<void> {
  const { print, progress } = commandContext(flags);
  const server = serverOf(flags);
  const name = flags.name ?? path.basename(file, path.extname(file));
  const upload = { file, name, isMultiLabel: flags.multiLabel ?? false, columns: columnsOf(flags) };
  await checkReadable(file);
  const made = await runStep(progress, 'Upload', async () => {
    const value = await createClassifier(server, upload);
    return { value, outcome: `${formatCount(value.num_examples)} examples` };
  });
  await followTraining(progress, server, made.id);
  const report = await readReport(server, made.id);
  report.notes.forEach((note) => progress.warn(note));
  const { calibration } = report;
  print(`classifier     ${made.id}`);
  print(`labels         ${report.labels.length}, ${formatCount(report.num_examples)} examples`);
  print(`accuracy       ${percent(report.accuracy)}, macro-F1 ${percent(report.macro_f1)} (cross-validated)`);
  print(
    `calibration    ECE ${percent(calibration?.ece ?? null)}, temperature ${calibration?.temperature.toFixed(2) ?? '-'}`,
  );
  print(`out of scope   above ${report.out_of_scope_threshold?.toFixed(3) ?? '-'}`);
  if (report.features_ms !== null && report.fit_ms !== null) {
    print(`time           features ${formatMs(report.features_ms)}, fit ${formatMs(report.fit_ms)}`);
  }
}

async function followTraining(progress: Progress, server: ClassifyServer, id: string): Promise<void> {
  await runStep(progress, 'Train', async (step) => {
    // Hundredths: the two phases are one bar, half for each.
    step.total(100, 'items');
    await waitUntilTrained(server, id, ({ phase, fraction, num_features: done, num_examples: all }) => {
      step.update(Math.round(100 * (phase === 'features' ? fraction / 2 : 0.5 + fraction / 2)));
      step.note(phase === 'features' ? `features of ${formatCount(done)} of ${formatCount(all)} texts` : 'fit');
    });
    return { value: null, outcome: 'ready' };
  });
}

export async function testCommand(id: string, file: string, flags: TestFlags): Promise<void> {
  const { print, progress } = commandContext(flags);
  const server = serverOf(flags);
  const columns = columnsOf(flags);
  const inScope = (await readExamples(file, columns)).map(({ text, label }) => ({
    text,
    label: label === flags.oosLabel ? null : label,
  }));
  const outOfScope = flags.oos === undefined ? [] : await readExamples(flags.oos, columns);
  const examples = [...inScope, ...outOfScope.map(({ text }) => ({ text, label: null }))];
  const { answers, durationMs } = await classifyAll(progress, server, { classifier: id }, examples);
  const evaluation = evaluate(answers);
  if (evaluation.numAnswers === 0) {
    throw new OperatorError('usage', `No text of ${file} has a label.`, 'Name its column with --label-column.');
  }
  printEvaluation(print, evaluation);
  print(`throughput     ${formatCount(Math.round((1000 * examples.length) / durationMs))} texts a second`);
  if (flags.plots !== undefined) {
    await mkdir(flags.plots, { recursive: true });
    await writeFile(path.join(flags.plots, 'reliability.svg'), reliabilityDiagram(evaluation));
    await writeFile(path.join(flags.plots, 'confusion.svg'), confusionHeatMap(answers, evaluation));
    print(`plots          ${path.join(flags.plots, 'reliability.svg')}, ${path.join(flags.plots, 'confusion.svg')}`);
  }
}

async function classifyAll(
  progress: Progress,
  server: ClassifyServer,
  judge: Judge,
  examples: readonly FileExample[],
): Promise<{ readonly answers: Answer[]; readonly durationMs: number }> {
  const startMs = performance.now();
  const answers = await runStep(progress, 'Classify', async (step) => {
    step.total(examples.length, 'items');
    const value: Answer[] = [];
    for (let start = 0; start < examples.length; start += TEXTS_PER_REQUEST) {
      const part = examples.slice(start, start + TEXTS_PER_REQUEST);
      const results = await classify(
        server,
        judge,
        part.map(({ text }) => text),
      );
      results.forEach(({ scores, out_of_scope: outOfScope }, index) => {
        const { label: predicted = '', score: confidence = 0 } = scores[0] ?? {};
        value.push({ actual: part[index]?.label ?? null, predicted, confidence, outOfScope });
      });
      step.update(value.length);
    }
    return { value, outcome: `${formatCount(value.length)} texts` };
  });
  return { answers, durationMs: performance.now() - startMs };
}

function printEvaluation(print: (line?: string) => void, evaluation: Evaluation): void {
  print(`accuracy       ${percent(evaluation.accuracy)} of ${formatCount(evaluation.numAnswers)} texts`);
  print(`macro-F1       ${percent(evaluation.macroF1)}`);
  print(`ECE            ${percent(evaluation.ece)}`);
  print(`out of scope   AUROC ${percent(evaluation.outOfScopeAuroc)}`);
  const confused = evaluation.confusions.slice(0, CONFUSIONS_PRINTED);
  if (confused.length > 0) {
    print();
    const columns = [
      { title: 'is', align: 'left' as const },
      { title: 'taken for', align: 'left' as const },
      { title: 'texts', align: 'right' as const },
    ];
    const rows = confused.map(({ actual, predicted, count }) => [actual, predicted, String(count)]);
    formatTable(columns, rows).forEach((line) => print(line));
    print();
  }
}

/** Each line of standard input is a text; each line of the output is its answer as JSON. */
export async function runCommand(id: string | undefined, flags: RunFlags): Promise<void> {
  const { print } = commandContext(flags);
  const judge = judgeOf(id, flags);
  const server = serverOf(flags);
  let held: string[] = [];
  const flush = async (): Promise<void> => {
    const texts = held;
    held = [];
    for (const [index, answer] of (texts.length === 0 ? [] : await classify(server, judge, texts)).entries()) {
      print(JSON.stringify({ text: texts[index], ...answer }));
    }
  };
  for await (const line of createInterface({ input: process.stdin })) {
    if (line.trim() !== '') {
      held.push(line);
    }
    // Somebody who types wants an answer to each line, a file goes faster in large parts.
    if (held.length >= TEXTS_PER_REQUEST || process.stdin.isTTY) {
      await flush();
    }
  }
  await flush();
}

function judgeOf(id: string | undefined, { labels }: RunFlags): Judge {
  const names = labels
    ?.split(',')
    .map((name) => name.trim())
    .filter((name) => name !== '');
  if ((id === undefined) === (names === undefined)) {
    throw new OperatorError('usage', 'Give either the id of a classifier or --labels with names separated by commas.');
  }
  return names === undefined ? { classifier: id ?? '' } : { labels: names };
}

export async function listClassifiersCommand(flags: ClassifyFlags): Promise<void> {
  const { print } = commandContext(flags);
  const rows = (await listClassifiers(serverOf(flags))).map(
    ({ id, name, status, version, num_examples: numExamples }) => [
      id,
      name,
      status,
      String(version ?? '-'),
      formatCount(numExamples),
    ],
  );
  const columns = (['id', 'name', 'status', 'version', 'examples'] as const).map((title, index) => ({
    title,
    align: index > 2 ? ('right' as const) : ('left' as const),
  }));
  formatTable(columns, rows).forEach((line) => print(line));
}

export async function removeClassifierCommand(id: string, flags: ClassifyFlags): Promise<void> {
  const { print } = commandContext(flags);
  await removeClassifier(serverOf(flags), id);
  print(`${id} is removed.`);
}
