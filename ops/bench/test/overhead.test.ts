import { describe, expect, it } from 'vitest';
import { measureOverhead, summariseOverhead } from '../origin/overhead.ts';
import { startFakeServer } from './fake-server.ts';

describe('measureOverhead', () => {
  it('asks both in turn, every time something new', async () => {
    const [gateway, direct] = [await startFakeServer(8), await startFakeServer(8)];
    try {
      const samples = await measureOverhead({
        gateway: { ...gateway.target, name: 'gateway' },
        direct: { ...direct.target, name: 'origin' },
        rounds: 3,
        tokens: 5,
        promptWords: 4,
        nowMs: () => 0,
        onRound: () => {},
      });
      const prompts = [...gateway.prompts, ...direct.prompts];
      // A warm-up each, then the rounds.
      expect([gateway.prompts.length, direct.prompts.length, new Set(prompts).size]).toEqual([4, 4, 8]);
      const numOf = (target: string, scenario: string): number =>
        samples.filter((sample) => sample.target === target && sample.scenario === scenario).length;
      expect([numOf('gateway', 'first token'), numOf('origin', 'between tokens')]).toEqual([3, 12]);
    } finally {
      gateway.stop();
      direct.stop();
    }
  });
});

describe('summariseOverhead', () => {
  it('shows usual and unlucky times, and what was added', () => {
    const sample = (target: string, scenario: string, value: number) =>
      ({ target, scenario, value, round: 0, unit: 'ms' }) as const;
    const samples = [
      sample('a', 'first token', 12),
      sample('b', 'first token', 10),
      sample('a', 'between tokens', 1),
      sample('a', 'between tokens', 3),
      sample('b', 'between tokens', 2),
    ];
    expect(summariseOverhead(samples, 'a', 'b')).toEqual([
      ['first token, p50', '12.00 ms', '10.00 ms', '2.00 ms'],
      ['first token, p99', '12.00 ms', '10.00 ms', '2.00 ms'],
      ['between tokens, p50', '2.00 ms', '2.00 ms', '0.00 ms'],
      ['between tokens, p99', '2.98 ms', '2.00 ms', '0.98 ms'],
    ]);
  });
});
