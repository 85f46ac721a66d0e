import { describe, expect, it } from 'vitest';
import { groupByProcess, processOfStage } from '../../dev/runtimes.ts';
import type { LocalWorker } from '../../dev/local-workers.ts';
import { hopMs, ringFigures } from '../ring/figures.ts';
import { FOUR_STAGES, ONE_STAGE, RINGS, TWO_PROCESSES } from '../ring/rings.ts';
import type { BenchSample } from '../samples.ts';

const sample = (target: string, scenario: string, value: number): BenchSample => ({
  target,
  scenario,
  value,
  round: 0,
  unit: 'tok/s',
});

describe('the figures of a ring', () => {
  const samples = [
    sample(ONE_STAGE.name, '1 stream', 100),
    sample(FOUR_STAGES.name, '1 stream', 80),
    sample(ONE_STAGE.name, '8 streams', 200),
    sample(TWO_PROCESSES.name, '8 streams', 310),
  ];

  it('divide what splitting adds to a token among the links', () => {
    // 12.5 ms instead of 10 ms, over 4 links.
    expect(hopMs(samples, FOUR_STAGES)).toBeCloseTo(0.625);
  });

  it('leave out what was not measured', () => {
    expect(hopMs(samples, TWO_PROCESSES)).toBeNull();
    expect(ringFigures(samples)).toEqual([
      '4 stages, 1 stream: 25.0 % more time a token than 1 stage, 0.625 ms a hop',
      '2 stages, 2 processes, 8 streams: 1.55 × the speed of 1 stage',
    ]);
  });

  it('have a name of their own for each ring', () => {
    expect(new Set(RINGS.map(({ name }) => name)).size).toBe(RINGS.length);
  });
});

describe('stages over processes', () => {
  it('keep neighbours together and leave no process without work', () => {
    const processes = (stageCount: number, numProcesses: number): number[] =>
      Array.from({ length: stageCount }, (_, index) => processOfStage(index, stageCount, numProcesses));
    expect(processes(4, 2)).toEqual([0, 0, 1, 1]);
    expect(processes(3, 2)).toEqual([0, 0, 1]);
    expect(processes(3, 3)).toEqual([0, 1, 2]);
    expect(processes(5, 1)).toEqual([0, 0, 0, 0, 0]);
  });

  it('run the gateway beside the head', () => {
    const [services, stages] = [
      ['gateway', 'classify'],
      ['s0', 's1'],
    ] as unknown as LocalWorker[][];
    expect(groupByProcess({ services: services ?? [], stages: stages ?? [] }, 2)).toEqual([
      ['gateway', 'classify', 's0'],
      ['s1'],
    ]);
  });
});
