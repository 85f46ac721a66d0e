/** What `lamina bench plot` does: pictures and tables in docs/ from the runs that are kept. */
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { format, resolveConfig } from 'prettier';
import { commandContext } from '../../cli/context.ts';
import { writeFileAtomic } from '../../support/files.ts';
import { PROJECT_ROOT } from '../../support/home.ts';
import { OperatorError } from '../../support/operator-error.ts';
import { type BenchRun, mergeByCommit, readRuns, resultsFile } from '../results.ts';
import { comparisonChart } from './comparison-chart.ts';
import { historyChart } from './history-chart.ts';
import { learningCurve, type LearningPoint } from './learning-curve.ts';
import { markdownTable, replaceSection } from './tables.ts';

const DOCS = path.join(PROJECT_ROOT, 'docs');
const PAGE = path.join(DOCS, 'benchmarks.md');
const COMPARISON_CHART = path.join(DOCS, 'benchmarks.svg');
const HISTORY_CHART = path.join(DOCS, 'benchmarks-history.svg');
const LEARNING_CURVE = path.join(DOCS, 'learning-curve.svg');
const LEARNING_CURVE_DATA = path.join(import.meta.dirname, '..', 'results', 'learning-curve.json');
const HISTORY_PEER = 'llama.cpp';

const PICTURES = `![Engines compared](${path.basename(COMPARISON_CHART)})

![History against ${HISTORY_PEER}](${path.basename(HISTORY_CHART)})`;

/** Subcommands whose last run has a table on the page, and how they are called there. */
const TABLES = {
  engine: 'The engine alone (`bench engine`)',
  serve: 'Over HTTP (`bench serve --peer`)',
  trace: 'A trace over HTTP (`bench serve --peer --trace`)',
  kernels: 'Kernels (`bench kernels`)',
} as const;

async function keptRuns(name: string): Promise<BenchRun[]> {
  return mergeByCommit(await readRuns(resultsFile(name, true)));
}

/** What was measured, as it is drawn. */
interface LearningCurveData {
  readonly title: string;
  readonly subtitle: string;
  readonly points: readonly LearningPoint[];
}

async function drawLearningCurve(): Promise<void> {
  const data = JSON.parse(await readFile(LEARNING_CURVE_DATA, 'utf8')) as LearningCurveData;
  await writeFileAtomic(LEARNING_CURVE, learningCurve(data.title, data.subtitle, data.points));
}

export async function plotCommand(): Promise<void> {
  const context = commandContext({});
  const engineRuns = await keptRuns('engine');
  const latest = engineRuns.at(-1);
  if (latest === undefined) {
    throw new OperatorError('usage', 'No run of the engines is kept.', 'Run: lamina bench engine --keep');
  }
  await writeFileAtomic(COMPARISON_CHART, comparisonChart(latest));
  await writeFileAtomic(HISTORY_CHART, historyChart(engineRuns, HISTORY_PEER));
  await drawLearningCurve();
  let page = replaceSection(await readFile(PAGE, 'utf8'), 'pictures', PICTURES);
  for (const [name, title] of Object.entries(TABLES)) {
    const run = (await keptRuns(name)).at(-1);
    if (run !== undefined) {
      page = replaceSection(page, name, `${title}. ${markdownTable(run)}`);
    }
  }
  // The formatter pads tables, and the checks insist on it.
  const style = await resolveConfig(PAGE);
  await writeFileAtomic(PAGE, await format(page, { ...style, filepath: PAGE }));
  [COMPARISON_CHART, HISTORY_CHART, LEARNING_CURVE, PAGE].forEach((file) =>
    context.print(path.relative(PROJECT_ROOT, file)),
  );
}
