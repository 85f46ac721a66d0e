/**
 * What a training found, in figures, warnings and plots.
 * @module
 */
import { confusionMap, MAP_LABELS_MAX } from './confusion-map.js';
import { make, number, percent } from './dom.js';
import { reliabilityDiagram } from './reliability-diagram.js';

/** Contradictions and confusions that are listed: more of them would push the rest away. */
const ROWS_SHOWN_MAX = 20;

/** @param {object} report of `GET /v1/classifiers/{id}/report` */
export function trainingReport(report) {
  return [figures(report), ...warnings(report), plots(report), ...tables(report)];
}

function figures(report) {
  const { calibration, out_of_scope_threshold: threshold } = report;
  const rows = [
    ['Accuracy', percent(report.accuracy)],
    ['Macro-F1', report.macro_f1 === null ? '–' : report.macro_f1.toFixed(3)],
    ['Calibration error', percent(calibration?.ece ?? null)],
    ['Temperature', calibration === null ? '–' : calibration.temperature.toFixed(2)],
    ['Out-of-scope threshold', threshold === null ? '–' : threshold.toFixed(2)],
    ['Examples', number(report.num_examples)],
    ['Labels', number(report.labels.length)],
    ['C', report.c === null ? '–' : String(report.c)],
  ];
  return make(
    'dl',
    { className: 'figures' },
    ...rows.map(([name, value]) => make('div', {}, make('dt', {}, name), make('dd', {}, value))),
  );
}

function warnings({ notes, data }) {
  if (notes.length === 0) {
    return [];
  }
  const items = notes.map((note) => make('li', {}, note));
  const contradictions = data.contradictions
    .slice(0, ROWS_SHOWN_MAX)
    .map(({ text, labels }) => make('li', {}, make('q', {}, text), ` stands under ${labels.join(' and ')}`));
  const list = make('ul', {}, ...items);
  const shown = contradictions.length === 0 ? [] : [make('ul', { className: 'contradictions' }, ...contradictions)];
  return [make('div', { className: 'warnings' }, make('h3', {}, 'Look at these examples'), list, ...shown)];
}

function plots(report) {
  const place = make('div', { className: 'plots' });
  if (report.calibration !== null) {
    const note = 'Right answers by confidence. On the line, a score is a probability.';
    place.append(figure(reliabilityDiagram(report.calibration), note));
  }
  if (!report.multi_label && report.accuracy !== null) {
    const which =
      report.labels.length > MAP_LABELS_MAX ? `, of the ${MAP_LABELS_MAX} labels that are confused most` : '';
    place.append(
      figure(confusionMap(report), `Labels that were given (columns) to examples of each label (rows)${which}.`),
    );
  }
  return place;
}

const figure = (plot, note) => make('figure', {}, plot, make('figcaption', { className: 'note' }, note));

function tables({ labels, confusions }) {
  const measures = ({ label, num_examples: count, precision, recall, f1 }) => [
    label,
    number(count),
    percent(precision),
    percent(recall),
    percent(f1),
  ];
  const ofLabels = table(['Label', 'Examples', 'Precision', 'Recall', 'F1'], labels.map(measures));
  const details = [make('details', {}, make('summary', {}, `All labels (${labels.length})`), ofLabels)];
  if (confusions.length > 0) {
    const rows = confusions.slice(0, ROWS_SHOWN_MAX).map(({ actual, predicted, count }) => [actual, predicted, count]);
    const ofConfusions = table(['Label', 'Taken for', 'Times'], rows);
    details.push(make('details', {}, make('summary', {}, `Most frequent confusions (${rows.length})`), ofConfusions));
  }
  return details;
}

function table(headings, rows) {
  const head = make('tr', {}, ...headings.map((heading) => make('th', { scope: 'col' }, heading)));
  const body = rows.map(([first, ...cells]) =>
    make('tr', {}, make('th', { scope: 'row' }, first), ...cells.map((cell) => make('td', {}, String(cell)))),
  );
  const filled = make('table', {}, make('thead', {}, head), make('tbody', {}, ...body));
  return make('div', { className: 'scrolled', tabIndex: 0, role: 'region', ariaLabel: headings.join(', ') }, filled);
}
