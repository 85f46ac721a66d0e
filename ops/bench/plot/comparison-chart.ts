/** The latest run of the engines as bars: one group for each scenario, one bar for each engine. */
import type { BenchRun } from '../results.ts';
import { medianOf, scenariosOf } from '../samples.ts';
import { colourOf, element, svgDocument, text } from './svg.ts';

const WIDTH = 760;
const LABEL_WIDTH = 170;
/** Room right of the longest bar for its figure and the ratio. */
const FIGURE_WIDTH = 190;
const TOP = 76;
const BAR_HEIGHT = 15;
const BAR_GAP = 2;
const GROUP_GAP = 14;

interface Bar {
  readonly target: string;
  readonly targetIndex: number;
  readonly value: number;
  /** First target to this one. */
  readonly ratio: number | null;
}

function barsOf({ info, samples }: BenchRun, scenario: string): Bar[] {
  const first = medianOf(samples, info.targets[0] ?? '', scenario);
  return info.targets.flatMap((target, targetIndex) => {
    const value = medianOf(samples, target, scenario);
    return value === null
      ? []
      : [{ target, targetIndex, value, ratio: targetIndex === 0 || first === null ? null : first / value }];
  });
}

function legend(targets: readonly string[]): string[] {
  let x = LABEL_WIDTH;
  return targets.flatMap((target, index) => {
    const at = x;
    x += 40 + target.length * 7;
    return [
      element('rect', { x: at, y: TOP - 24, width: 11, height: 11, rx: 2, fill: colourOf(index) }),
      text(at + 16, TOP - 14, '', target),
    ];
  });
}

export function comparisonChart(run: BenchRun): string {
  const { info, samples } = run;
  const groups = scenariosOf(samples).map((scenario) => ({ scenario, bars: barsOf(run, scenario) }));
  const largest = Math.max(...groups.flatMap(({ bars }) => bars.map((bar) => bar.value)));
  const scale = (WIDTH - LABEL_WIDTH - FIGURE_WIDTH) / largest;
  const children = [
    text(0, 16, 'title', 'Engine alone, one core: tokens per second'),
    text(
      0,
      34,
      'quiet',
      `${info.cpu}, commit ${info.commit}, medians of ${info.rounds} rounds in turn; × is our rate to theirs`,
    ),
    ...legend(info.targets),
  ];
  let y = TOP;
  for (const { scenario, bars } of groups) {
    const height = bars.length * (BAR_HEIGHT + BAR_GAP);
    children.push(text(LABEL_WIDTH - 10, y + height / 2 + 3, '', scenario, 'end'));
    for (const { targetIndex, value, ratio } of bars) {
      const width = Math.max(1, value * scale);
      children.push(
        element('rect', { x: LABEL_WIDTH, y, width, height: BAR_HEIGHT, rx: 2, fill: colourOf(targetIndex) }),
        text(
          LABEL_WIDTH + width + 6,
          y + BAR_HEIGHT - 3.5,
          targetIndex === 0 ? 'strong' : 'quiet',
          `${value.toFixed(value < 10 ? 1 : 0)}${ratio === null ? '' : ` (${ratio.toFixed(2)}×)`}`,
        ),
      );
      y += BAR_HEIGHT + BAR_GAP;
    }
    y += GROUP_GAP;
  }
  const description = groups
    .map(({ scenario, bars }) => `${scenario}: ${bars.map((b) => `${b.target} ${b.value.toFixed(1)}`).join(', ')}`)
    .join('; ');
  return svgDocument({ width: WIDTH, height: y }, 'Engines compared', description, children);
}
