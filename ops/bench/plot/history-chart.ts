/** Every kept run as a point: our rate to that of the peer in the same run, since rates of different runs mean nothing. */
import type { BenchRun } from '../results.ts';
import { medianOf, scenariosOf } from '../samples.ts';
import { colourOf, element, svgDocument, text } from './svg.ts';

const WIDTH = 760;
const HEIGHT = 320;
const PLOT = { left: 40, right: 520, top: 64, bottom: 280 } as const;
/** Smallest distance of the labels right of the lines. */
const LABEL_HEIGHT = 16;

interface Point {
  readonly runIndex: number;
  readonly ratio: number;
}

interface Line {
  readonly scenario: string;
  readonly points: readonly Point[];
}

function linesOf(runs: readonly BenchRun[], peer: string): Line[] {
  const scenarios = [...new Set(runs.flatMap(({ samples }) => scenariosOf(samples)))];
  return scenarios
    .map((scenario) => ({
      scenario,
      points: runs.flatMap(({ info, samples }, runIndex) => {
        const ours = medianOf(samples, info.targets[0] ?? '', scenario);
        const theirs = medianOf(samples, peer, scenario);
        return ours === null || theirs === null ? [] : [{ runIndex, ratio: ours / theirs }];
      }),
    }))
    .filter(({ points }) => points.length > 0);
}

/** Moves labels down until none covers the one above it. */
function spread(labels: readonly { readonly y: number; readonly index: number }[]): Map<number, number> {
  let lowest = -Infinity;
  const places = new Map<number, number>();
  for (const { y, index } of labels.toSorted((a, b) => a.y - b.y)) {
    lowest = Math.max(y, lowest + LABEL_HEIGHT);
    places.set(index, lowest);
  }
  return places;
}

/** @param runs of the engine bench, the oldest first. */
export function historyChart(runs: readonly BenchRun[], peer: string): string {
  const lines = linesOf(runs, peer);
  const top = Math.ceil(Math.max(1, ...lines.flatMap(({ points }) => points.map((point) => point.ratio))) * 2) / 2;
  const step = (PLOT.right - PLOT.left) / Math.max(1, runs.length - 1);
  const xOf = (runIndex: number): number => (runs.length === 1 ? PLOT.right : PLOT.left + runIndex * step);
  const yOf = (ratio: number): number => PLOT.bottom - (ratio / top) * (PLOT.bottom - PLOT.top);
  const children = [
    text(0, 16, 'title', `Rate of our engine to that of ${peer} in the same run`),
    text(0, 34, 'quiet', 'one thread, the same model file; a point for each commit whose run is kept'),
  ];
  for (let ratio = 0; ratio <= top; ratio += 0.5) {
    const y = yOf(ratio);
    children.push(
      element('line', { x1: PLOT.left, x2: PLOT.right, y1: y, y2: y, class: ratio === 1 ? 'base' : 'grid' }),
      text(PLOT.left - 8, y + 4, 'quiet', `${ratio.toFixed(1)}×`, 'end'),
    );
  }
  runs.forEach(({ info }, runIndex) => {
    const anchor = runIndex === runs.length - 1 ? 'end' : runIndex === 0 ? 'start' : 'middle';
    children.push(text(xOf(runIndex), PLOT.bottom + 18, 'quiet', info.commit, anchor));
  });
  const labels = spread(lines.map(({ points }, index) => ({ y: yOf(points.at(-1)?.ratio ?? 0), index })));
  lines.forEach(({ scenario, points }, index) => {
    const colour = colourOf(index);
    const coordinates = points.map((point) => [xOf(point.runIndex), yOf(point.ratio)] as const);
    children.push(
      element('polyline', {
        points: coordinates.map(([x, y]) => `${x.toFixed(1)},${y.toFixed(1)}`).join(' '),
        fill: 'none',
        stroke: colour,
        'stroke-width': 2,
      }),
      ...coordinates.map(([cx, cy]) => element('circle', { cx, cy, r: 3, fill: colour })),
      element('rect', {
        x: PLOT.right + 12,
        y: (labels.get(index) ?? 0) - 5,
        width: 10,
        height: 10,
        rx: 2,
        fill: colour,
      }),
      text(
        PLOT.right + 28,
        (labels.get(index) ?? 0) + 4,
        '',
        `${scenario}: ${(points.at(-1)?.ratio ?? 0).toFixed(2)}×`,
      ),
    );
  });
  const description = lines
    .map(({ scenario, points }) => `${scenario}: ${points.map((point) => point.ratio.toFixed(2)).join(', ')}`)
    .join('; ');
  return svgDocument({ width: WIDTH, height: HEIGHT }, `History against ${peer}`, description, children);
}
