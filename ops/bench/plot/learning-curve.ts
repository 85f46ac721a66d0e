/** Accuracy of a classifier by the number of examples of each label: what one more hour of labelling brings. */
import { colourOf, element, svgDocument, text } from './svg.ts';

const WIDTH = 640;
const HEIGHT = 320;
const PLOT = { left: 48, right: 616, top: 56, bottom: 272 } as const;
const NUM_GRID_LINES = 5;

export interface LearningPoint {
  /** Examples of each label. */
  readonly numPerLabel: number;
  /** Share of right answers on texts that were not learnt from. */
  readonly accuracy: number;
}

/** @param title says of which set and which labels. @param points by rising `numPerLabel`; at least two. */
export function learningCurve(title: string, subtitle: string, points: readonly LearningPoint[]): string {
  const [first, last] = [points[0]?.numPerLabel ?? 1, points.at(-1)?.numPerLabel ?? 1];
  // Each doubling of the examples is a step of the same width.
  const xOf = (numPerLabel: number): number =>
    PLOT.left + (Math.log(numPerLabel / first) / Math.log(last / first)) * (PLOT.right - PLOT.left);
  const yOf = (accuracy: number): number => PLOT.bottom - accuracy * (PLOT.bottom - PLOT.top);
  const grid = Array.from({ length: NUM_GRID_LINES + 1 }, (_, line) => line / NUM_GRID_LINES).flatMap((accuracy) => {
    const y = yOf(accuracy);
    return [
      element('line', { x1: PLOT.left, x2: PLOT.right, y1: y, y2: y, class: 'grid' }),
      text(PLOT.left - 8, y + 4, 'quiet', accuracy.toFixed(1), 'end'),
    ];
  });
  const marks = points.flatMap(({ numPerLabel, accuracy }) => {
    const [x, y] = [xOf(numPerLabel), yOf(accuracy)];
    return [
      element('circle', { cx: x, cy: y, r: 3.5, fill: colourOf(0) }),
      text(x, y - 10, 'strong', accuracy.toFixed(3), x > PLOT.right - 20 ? 'end' : 'middle'),
      text(x, PLOT.bottom + 18, 'quiet', String(numPerLabel), 'middle'),
    ];
  });
  const line = element('polyline', {
    points: points.map((point) => `${xOf(point.numPerLabel).toFixed(1)},${yOf(point.accuracy).toFixed(1)}`).join(' '),
    fill: 'none',
    stroke: colourOf(0),
    'stroke-width': 2,
  });
  const described = points.map((point) => `${point.numPerLabel}: ${point.accuracy.toFixed(3)}`).join(', ');
  return svgDocument({ width: WIDTH, height: HEIGHT }, title, `Accuracy by examples of each label: ${described}`, [
    text(0, 16, 'title', title),
    text(0, 34, 'quiet', subtitle),
    ...grid,
    line,
    ...marks,
    text((PLOT.left + PLOT.right) / 2, PLOT.bottom + 38, 'quiet', 'examples of each label', 'middle'),
  ]);
}
