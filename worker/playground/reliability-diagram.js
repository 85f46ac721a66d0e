/**
 * How often answers of a certain confidence are right (a reliability diagram), over how many answers have it.
 * @module
 */
import { drawing, svg } from './svg.js';
import { percent } from './dom.js';

const WIDTH = 320;
const LEFT = 40;
const TOP = 10;
const SIDE = 220;
/** Below the square: the numbers of answers, then the axis. */
const GAP = 8;
const COUNTS_HEIGHT = 40;
const AXIS_HEIGHT = 38;
const TICKS = [0, 0.25, 0.5, 0.75, 1];

const x = (share) => LEFT + share * SIDE;
const y = (share) => TOP + (1 - share) * SIDE;

/** @param {{ ece: number, bins: { from: number, to: number, count: number, mean_confidence: number, accuracy: number }[] }} calibration */
export function reliabilityDiagram({ ece, bins }) {
  const filled = bins.filter(({ count }) => count > 0);
  const countMax = Math.max(1, ...filled.map(({ count }) => count));
  const bottom = TOP + SIDE + GAP + COUNTS_HEIGHT;
  const description = `Reliability diagram: expected calibration error ${percent(ece)}. ${filled.map(binText).join(' ')}`;
  return drawing({ width: WIDTH, height: bottom + AXIS_HEIGHT, description, className: 'plot reliability' }, [
    ...TICKS.flatMap(tick),
    ...filled.flatMap((bin) => bars(bin, (bin.count / countMax) * COUNTS_HEIGHT, bottom)),
    svg('line', { class: 'ideal', x1: x(0), y1: y(0), x2: x(1), y2: y(1) }),
    ...filled.map((bin) => svg('circle', { class: 'mean', cx: x(bin.mean_confidence), cy: y(bin.accuracy), r: 3 })),
    svg('text', { class: 'axis', x: x(0.5), y: bottom + 34, 'text-anchor': 'middle' }, 'confidence'),
    svg(
      'text',
      { class: 'axis', transform: `translate(11 ${y(0.5)}) rotate(-90)`, 'text-anchor': 'middle' },
      'accuracy',
    ),
    svg('text', { class: 'axis', x: x(1) + 6, y: bottom - COUNTS_HEIGHT / 2 + 4 }, 'answers'),
  ]);
}

const binText = ({ from, to, count, accuracy }) =>
  `Confidence ${percent(from)} to ${percent(to)}: ${percent(accuracy)} of ${count} right.`;

function bars(bin, height, bottom) {
  const place = { x: x(bin.from) + 1, width: x(bin.to) - x(bin.from) - 2 };
  const title = () => svg('title', {}, binText(bin));
  return [
    svg('rect', { class: 'bar', ...place, y: y(bin.accuracy), height: bin.accuracy * SIDE }, title()),
    svg('rect', { class: 'count', ...place, y: bottom - height, height }, title()),
  ];
}

function tick(share) {
  const bottom = TOP + SIDE + GAP + COUNTS_HEIGHT;
  return [
    svg('line', { class: 'grid', x1: x(0), y1: y(share), x2: x(1), y2: y(share) }),
    svg('text', { class: 'tick', x: LEFT - 6, y: y(share) + 4, 'text-anchor': 'end' }, String(share)),
    svg('text', { class: 'tick', x: x(share), y: bottom + 16, 'text-anchor': 'middle' }, String(share)),
  ];
}
