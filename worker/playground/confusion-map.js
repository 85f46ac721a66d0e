/**
 * Which labels are taken for which, as a heat map.
 * @module
 */
import { drawing, svg } from './svg.js';
import { percent } from './dom.js';

/** Labels of one map: with more, names cannot be read. */
export const MAP_LABELS_MAX = 24;
const NAME_CHARS_MAX = 16;
const TAIL_CHARS = 7;
const NAMES_WIDTH = 112;
const MAP_SIDE = 240;
/** Cells of a map with few labels would be larger than what they say. */
const CELL_MAX = 48;

/**
 * The rows of the map: what share of a label's examples was given which label.
 * @param {{ labels: { label: string, num_examples: number, recall: number | null }[],
 *   confusions: { actual: string, predicted: string, count: number }[] }} report
 * @returns {{ labels: string[], shares: number[][] }} of all labels, or of those that are confused most
 */
export function confusionShares({ labels, confusions }) {
  const weights = new Map(labels.map(({ label }) => [label, 0]));
  for (const { actual, predicted, count } of confusions) {
    for (const label of [actual, predicted]) {
      weights.set(label, (weights.get(label) ?? 0) + count);
    }
  }
  const chosen = new Set(
    [...weights]
      .sort(([, a], [, b]) => b - a)
      .slice(0, MAP_LABELS_MAX)
      .map(([label]) => label),
  );
  const shown = labels.filter(({ label }) => chosen.has(label));
  const counts = new Map(
    confusions.map(({ actual, predicted, count }) => [JSON.stringify([actual, predicted]), count]),
  );
  const shares = shown.map((row) =>
    shown.map((column) =>
      row === column
        ? (row.recall ?? 0)
        : (counts.get(JSON.stringify([row.label, column.label])) ?? 0) / row.num_examples,
    ),
  );
  return { labels: shown.map(({ label }) => label), shares };
}

/** @param {Parameters<typeof confusionShares>[0]} report of a classifier with one label for each text */
export function confusionMap(report) {
  const { labels, shares } = confusionShares(report);
  const cell = Math.min(CELL_MAX, MAP_SIDE / labels.length);
  const side = cell * labels.length;
  const top = NAMES_WIDTH * 0.9;
  const cells = shares.flatMap((row, actual) =>
    row.map((share, predicted) => {
      const place = { x: NAMES_WIDTH + predicted * cell, y: top + actual * cell, width: cell - 1, height: cell - 1 };
      const title = `${labels[actual]} taken for ${labels[predicted]}: ${percent(share)}`;
      const kind = actual === predicted ? 'right' : 'wrong';
      // Confusions are rare where a classifier is any good: with the root of its share a single one can be seen.
      const opacity = kind === 'right' ? share : Math.sqrt(share);
      return svg(
        'g',
        {},
        svg('rect', { class: 'cell', ...place }),
        svg('rect', { class: kind, ...place, 'fill-opacity': opacity.toFixed(3) }),
        svg('title', {}, title),
      );
    }),
  );
  const middle = (index) => (index + 0.5) * cell;
  const names = labels.flatMap((label, index) => [
    svg('text', { class: 'tick', x: NAMES_WIDTH - 6, y: top + middle(index) + 4, 'text-anchor': 'end' }, short(label)),
    svg(
      'text',
      { class: 'tick', transform: `translate(${NAMES_WIDTH + middle(index) + 3} ${top - 6}) rotate(-50)` },
      short(label),
    ),
  ]);
  const description = `Heat map of confusions, labels that are right in rows, labels that were given in columns. ${worst(report)}`;
  return drawing(
    { width: NAMES_WIDTH + side + 60, height: top + side + 4, description, className: 'plot confusions' },
    [...cells, ...names],
  );
}

/** Long names are cut in the middle: those that belong together begin alike. */
const short = (label) =>
  label.length <= NAME_CHARS_MAX
    ? label
    : `${label.slice(0, NAME_CHARS_MAX - TAIL_CHARS - 1)}…${label.slice(-TAIL_CHARS)}`;

function worst({ confusions }) {
  const [first] = confusions;
  return first === undefined
    ? 'Nothing was confused.'
    : `Most often ${first.actual} was taken for ${first.predicted}: ${first.count} times.`;
}
