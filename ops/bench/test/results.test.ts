import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { appendRun, type BenchRun, formatRuns, parseRuns, readRuns, resultsFile } from '../results.ts';

function run(commit: string, numSamples = 2): BenchRun {
  const info = { time: '2026-01-01T00:00:00Z', cpu: 'a CPU', node: 'v24', commit, targets: ['lamina'], rounds: 1 };
  const samples = Array.from({ length: numSamples }, (_, round) => ({
    target: 'lamina',
    round,
    scenario: 'decode',
    value: 123.456789,
    unit: 'tok/s' as const,
  }));
  return { info, samples };
}

describe('results', () => {
  let folder = '';
  beforeEach(async () => {
    folder = await mkdtemp(path.join(tmpdir(), 'lamina-results-'));
  });
  afterEach(() => rm(folder, { recursive: true, force: true }));

  it('keeps runs in order, with the digits that mean something', async () => {
    const file = resultsFile('engine', true, folder);
    await appendRun(file, run('aaa'));
    await appendRun(file, run('bbb', 1));
    const runs = await readRuns(file);
    expect(runs.map(({ info, samples }) => [info.commit, samples.length])).toEqual([
      ['aaa', 2],
      ['bbb', 1],
    ]);
    expect(runs[0]?.samples[0]?.value).toBe(123.5);
    expect((await readFile(file, 'utf8')).split('\n').filter((line) => line !== '')).toHaveLength(5);
  });

  it('drops the oldest run past the limit, never the new one', async () => {
    const file = resultsFile('engine', true, folder);
    const bytes = formatRuns([run('aaa')]).length;
    await appendRun(file, run('aaa'), 2 * bytes);
    await appendRun(file, run('bbb'), 2 * bytes);
    expect(await readRuns(file)).toHaveLength(2);
    await appendRun(file, run('ccc'), 2 * bytes);
    expect((await readRuns(file)).map(({ info }) => info.commit)).toEqual(['bbb', 'ccc']);
    await appendRun(file, run('ddd'), bytes - 1);
    expect((await readRuns(file)).map(({ info }) => info.commit)).toEqual(['ddd']);
  });

  it('reads a file that is not there as no runs', async () => {
    expect(await readRuns(path.join(folder, 'missing.jsonl'))).toEqual([]);
  });

  it('keeps everyday runs apart', () => {
    expect(path.relative(folder, resultsFile('serve', false, folder))).toBe(path.join('local', 'serve.jsonl'));
  });

  it('refuses samples without a run', () => {
    expect(() => parseRuns('{"target":"a","round":0,"scenario":"s","value":1,"unit":"ms"}\n')).toThrow(RangeError);
  });
});
