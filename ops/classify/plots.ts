/** Pictures of an evaluation: how far confidence can be trusted, and which labels are taken for which. */
import { colourOf, element, svgDocument, text } from '../bench/plot/svg.ts';
import type { Answer, Evaluation } from './metrics.ts';

const PLOT_SIDE = 320;
const LEFT = 48;
const TOP = 48;
/** Labels in the heat map: the most confused ones; more cannot be read. */
export const HEAT_MAP_LABELS_MAX = 24;
const CELL_SIDE = 18;
const LABEL_WIDTH = 190;
/** Characters of a label that fit beside the map. */
const LABEL_CHARS_MAX = 28;

const percent = (value: number): string => `${(100 * value).toFixed(1)} %`;

/** Accuracy of the answers of each confidence: on the dashed line they are calibrated. */
export function reliabilityDiagram({ bins, ece, accuracy, numAnswers }: Evaluation): string {
  const x = (value: number): number => LEFT + value * PLOT_SIDE;
  const y = (value: number): number => TOP + (1 - value) * PLOT_SIDE;
  const largest = Math.max(1, ...bins.map(({ count }) => count));
  const bars = bins
    .filter(({ count }) => count > 0)
    .map(({ from, to, count, accuracy: accuracyOfBin }) =>
      element('rect', {
        x: x(from) + 1,
        y: y(accuracyOfBin),
        width: (to - from) * PLOT_SIDE - 2,
        height: accuracyOfBin * PLOT_SIDE,
        fill: colourOf(0),
        // Bins of few answers say little, and look so.
        'fill-opacity': (0.25 + 0.75 * Math.sqrt(count / largest)).toFixed(2),
      }),
    );
  const ticks = [0, 0.5, 1].flatMap((value) => [
    text(LEFT - 8, y(value) + 4, 'quiet', value.toFixed(1), 'end'),
    text(x(value), TOP + PLOT_SIDE + 18, 'quiet', value.toFixed(1), 'middle'),
    element('line', { x1: LEFT, x2: LEFT + PLOT_SIDE, y1: y(value), y2: y(value), class: 'grid' }),
  ]);
  const title = 'Reliability: accuracy by confidence';
  const figures = `ECE ${percent(ece)}, accuracy ${percent(accuracy)}, ${numAnswers} texts`;
  return svgDocument({ width: LEFT + PLOT_SIDE + 24, height: TOP + PLOT_SIDE + 44 }, title, figures, [
    text(0, 16, 'title', title),
    text(0, 34, 'quiet', figures),
    ...ticks,
    ...bars,
    element('line', { x1: x(0), y1: y(0), x2: x(1), y2: y(1), class: 'base' }),
    text(x(0.5), TOP + PLOT_SIDE + 36, '', 'confidence', 'middle'),
  ]);
}

/** Rows are what texts are, columns what they were taken for. Of many labels the most confused ones. */
export function confusionHeatMap(answers: readonly Answer[], { confusions }: Evaluation): string {
  const known = answers.filter(({ actual }) => actual !== null);
  const labels = heatMapLabels(known, confusions);
  const counts = labels.map((actual) =>
    labels.map((predicted) => known.filter((one) => one.actual === actual && one.predicted === predicted).length),
  );
  const title = 'Confusion: rows are what texts are, columns what they were taken for';
  const top = TOP + LABEL_WIDTH;
  const cells = counts.flatMap((row, at) => {
    const numOfRow = Math.max(
      1,
      row.reduce((sum, count) => sum + count, 0),
    );
    return row.flatMap((count, column) =>
      count === 0 ? [] : [cell(LABEL_WIDTH + column * CELL_SIDE, top + at * CELL_SIDE, count / numOfRow, count)],
    );
  });
  const names = labels.flatMap((label, at) => {
    const shown = label.length > LABEL_CHARS_MAX ? `${label.slice(0, LABEL_CHARS_MAX - 1)}…` : label;
    const across = LABEL_WIDTH + at * CELL_SIDE + CELL_SIDE / 2 + 4;
    return [
      text(LABEL_WIDTH - 8, top + at * CELL_SIDE + 13, '', shown, 'end'),
      element('g', { transform: `rotate(-90 ${across} ${top - 8})` }, text(across, top - 8, '', shown)),
    ];
  });
  const side = labels.length * CELL_SIDE;
  const description = `${labels.length} labels; the darker a cell, the larger its share of the row`;
  return svgDocument({ width: Math.max(560, LABEL_WIDTH + side + 16), height: top + side + 16 }, title, description, [
    text(0, 16, 'title', title),
    text(0, 34, 'quiet', description),
    ...names,
    ...cells,
  ]);
}

function cell(x: number, y: number, share: number, count: number): string {
  return element(
    'g',
    {},
    element('rect', {
      x,
      y,
      width: CELL_SIDE - 1,
      height: CELL_SIDE - 1,
      fill: colourOf(0),
      'fill-opacity': (0.12 + 0.88 * share).toFixed(2),
    }),
    text(x + (CELL_SIDE - 1) / 2, y + 13, 'strong', String(count), 'middle'),
  );
}

function heatMapLabels(answers: readonly Answer[], confusions: Evaluation['confusions']): string[] {
  const all = [...new Set(answers.flatMap(({ actual, predicted }) => [actual ?? predicted, predicted]))];
  const wrong = new Map<string, number>();
  for (const { actual, predicted, count } of confusions) {
    wrong.set(actual, (wrong.get(actual) ?? 0) + count);
    wrong.set(predicted, (wrong.get(predicted) ?? 0) + count);
  }
  return all
    .sort((a, b) => (wrong.get(b) ?? 0) - (wrong.get(a) ?? 0) || (a < b ? -1 : 1))
    .slice(0, HEAT_MAP_LABELS_MAX)
    .sort();
}
