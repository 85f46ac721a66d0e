/** The tables of docs/benchmarks.md, between two comments that say so. */
import { OperatorError } from '../../support/operator-error.ts';
import type { BenchRun } from '../results.ts';
import { summarise, summaryTitles } from '../samples.ts';

function marker(name: string, end: 'begin' | 'end'): string {
  return `<!-- bench ${name}: ${end} -->`;
}

/** A run as a Markdown table under a line that says what it ran on. */
export function markdownTable({ info, samples }: BenchRun): string {
  const titles = summaryTitles(info.targets);
  const row = (cells: readonly string[]): string => `| ${cells.join(' | ')} |`;
  return [
    `${info.cpu}, Node ${info.node}, commit ${info.commit}, medians of ${info.rounds} rounds:`,
    '',
    row(titles),
    row(titles.map((_, index) => (index === 0 ? '---' : '--:'))),
    ...summarise(samples, info.targets).map(row),
  ].join('\n');
}

/**
 * Replaces what stands between the comments of `name`.
 * @throws OperatorError when the page lacks them.
 */
export function replaceSection(page: string, name: string, content: string): string {
  const [begin, end] = [marker(name, 'begin'), marker(name, 'end')];
  const from = page.indexOf(begin);
  const to = page.indexOf(end, from);
  if (from < 0 || to < 0) {
    throw new OperatorError('usage', `The page has no place for the results of ${name}.`, `Write ${begin} and ${end}.`);
  }
  return `${page.slice(0, from + begin.length)}\n\n${content}\n\n${page.slice(to)}`;
}
