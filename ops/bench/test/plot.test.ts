import { describe, expect, it } from 'vitest';
import { comparisonChart } from '../plot/comparison-chart.ts';
import { historyChart } from '../plot/history-chart.ts';
import { learningCurve } from '../plot/learning-curve.ts';
import { markdownTable, replaceSection } from '../plot/tables.ts';
import { type BenchRun, mergeByCommit } from '../results.ts';

function run(commit: string, rates: Readonly<Record<string, number>>, scenario = 'decode at context 128'): BenchRun {
  const targets = Object.keys(rates);
  const info = { time: '2026-01-01T00:00:00Z', cpu: 'A & B <fast>', node: 'v24', commit, targets, rounds: 1 };
  const samples = targets.map((target) => ({
    target,
    round: 0,
    scenario,
    value: rates[target] ?? 0,
    unit: 'tok/s' as const,
  }));
  return { info, samples };
}

/** Throws unless every tag is closed in order and every ampersand begins an entity. */
function assertWellFormed(xml: string): void {
  const open: string[] = [];
  const rest = xml.replaceAll(
    /<(\/?)([a-z]+)((?:\s[\w:-]+="[^"<>]*")*)(\/?)>/gi,
    (_, close, name, _attributes, empty) => {
      if (close === '/') {
        expect(open.pop()).toBe(name);
      } else if (empty === '') {
        open.push(String(name));
      }
      return '';
    },
  );
  expect(open).toEqual([]);
  expect(rest).not.toMatch(/[<>]/);
  expect(xml.replaceAll(/&(amp|lt|gt|quot);/g, '')).not.toContain('&');
}

describe('comparisonChart', () => {
  const chart = comparisonChart(run('abc1234', { lamina: 200, 'llama.cpp': 80, wllama: 9.5 }));

  it('is well-formed, whatever the CPU is called', () => {
    assertWellFormed(chart);
    expect(chart).toContain('A &amp; B &lt;fast&gt;');
  });

  it('has a bar for each engine in proportion, its figure and the ratio', () => {
    const widths = [...chart.matchAll(/<rect x="170" y="[\d.]+" width="([\d.]+)" height="15"/g)].map((m) =>
      Number(m[1]),
    );
    expect(widths).toHaveLength(3);
    expect((widths[1] ?? 0) / (widths[0] ?? 1)).toBeCloseTo(0.4, 2);
    for (const label of ['>200<', '>80 (2.50×)<', '>9.5 (21.05×)<', '>wllama<', 'abc1234']) {
      expect(chart).toContain(label);
    }
  });

  it('has no bar for what was not measured', () => {
    const { info, samples } = run('abc', { lamina: 200, wllama: 10 });
    const other = run('abc', { lamina: 100 }, 'decode at context 4096');
    const both = comparisonChart({ info, samples: [...samples, ...other.samples] });
    assertWellFormed(both);
    expect(both.match(/height="15"/g)).toHaveLength(3);
  });
});

describe('historyChart', () => {
  const runs = [run('aaa', { lamina: 100, 'llama.cpp': 100 }), run('bbb', { lamina: 250, 'llama.cpp': 100 })];

  it('draws the ratio of each commit, from the oldest to the newest', () => {
    const chart = historyChart(runs, 'llama.cpp');
    assertWellFormed(chart);
    expect(chart).toContain('points="40.0,193.6 520.0,64.0"');
    expect(chart).toContain('decode at context 128: 2.50×');
    expect(chart).toContain('>aaa<');
  });

  it('takes a single run, and runs without the peer', () => {
    assertWellFormed(historyChart(runs.slice(0, 1), 'llama.cpp'));
    const chart = historyChart([...runs, run('ccc', { lamina: 9 })], 'llama.cpp');
    assertWellFormed(chart);
    expect(chart.match(/<circle/g)).toHaveLength(2);
  });
});

describe('learningCurve', () => {
  it('puts every doubling of the examples a step further', () => {
    const points = [1, 2, 4].map((numPerLabel, index) => ({ numPerLabel, accuracy: 0.25 * (index + 1) }));
    const chart = learningCurve('A & B', 'sub', points);
    assertWellFormed(chart);
    expect(chart).toContain('points="48.0,218.0 332.0,164.0 616.0,110.0"');
    expect(chart).toContain('Accuracy by examples of each label: 1: 0.250, 2: 0.500, 4: 0.750');
    expect(chart.match(/<circle/g)).toHaveLength(3);
  });
});

describe('mergeByCommit', () => {
  it('counts rounds on, and keeps commits, machines and targets apart', () => {
    const other = run('aaa', { lamina: 1 });
    const merged = mergeByCommit([run('aaa', { lamina: 3 }), run('bbb', { lamina: 2 }), other]);
    expect(merged.map(({ info }) => [info.commit, info.rounds])).toEqual([
      ['aaa', 2],
      ['bbb', 1],
    ]);
    expect(merged[0]?.samples.map(({ round, value }) => [round, value])).toEqual([
      [0, 3],
      [1, 1],
    ]);
    const elsewhere = { ...other, info: { ...other.info, cpu: 'another' } };
    expect(mergeByCommit([other, elsewhere])).toHaveLength(2);
  });
});

describe('the page', () => {
  const page = 'before\n<!-- bench engine: begin -->\nold\n<!-- bench engine: end -->\nafter\n';

  it('gets the table between its comments, again and again', () => {
    const table = markdownTable(run('abc', { lamina: 200, 'llama.cpp': 100 }));
    const once = replaceSection(page, 'engine', table);
    expect(once).toContain('| decode at context 128 | 200.0 tok/s | 100.0 tok/s | 2.00× |');
    expect(once).not.toContain('old');
    expect(once.startsWith('before\n')).toBe(true);
    expect(once.endsWith('\nafter\n')).toBe(true);
    expect(replaceSection(once, 'engine', table)).toBe(once);
  });

  it('must have the comments', () => {
    expect(() => replaceSection(page, 'serve', 'x')).toThrow('no place for the results of serve');
  });
});
