import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { replay, replaySamples } from '../serve/replay.ts';
import type { StreamTiming } from '../streams.ts';
import { type FakeServer, startFakeServer } from './fake-server.ts';

describe('replay', () => {
  let server: FakeServer;
  beforeAll(async () => {
    server = await startFakeServer(10);
  });
  afterAll(() => server.stop());

  it('sends every request when it is due, with a prompt of its own, and counts the refused', async () => {
    const slept: number[] = [];
    const requests = [
      { arrivalMs: 0, promptTokens: 20, outputTokens: 3 },
      { arrivalMs: 50, promptTokens: 40, outputTokens: 11 },
      { arrivalMs: 70, promptTokens: 20, outputTokens: 10 },
    ];
    const clock = { nowMs: () => performance.now(), sleep: async (ms: number) => void slept.push(ms) };
    const outcome = await replay(server.target, requests, 5, clock);
    expect(slept).toEqual([0, 50, 70]);
    expect(new Set(server.prompts).size).toBe(3);
    expect(outcome.numRefused).toBe(1);
    expect(outcome.timings.map((timing) => timing.completionTokens)).toEqual([3, 10]);
  });
});

describe('replaySamples', () => {
  const timing = (ttftMs: number, itlMs: number): StreamTiming => ({
    promptTokens: 5,
    cachedTokens: 0,
    completionTokens: 3,
    ttftMs,
    itlMs: [itlMs, itlMs],
    firstMs: ttftMs,
    lastMs: ttftMs + 2 * itlMs,
  });

  it('counts what met both goals, at the limit and past it', () => {
    const timings = [timing(100, 10), timing(101, 10), timing(100, 11)];
    const samples = replaySamples(
      'fake',
      2,
      { timings, numRefused: 1, spanMs: 2000 },
      { ttftMsMax: 100, itlMsMax: 10 },
    );
    const value = (scenario: string): number | undefined =>
      samples.find((sample) => sample.scenario === scenario)?.value;
    expect(value('goodput, requests')).toBe(0.5);
    expect(value('goodput, tokens')).toBe(1.5);
    expect(value('requests that met the goal')).toBe(25);
    expect(value('refused')).toBe(25);
    expect(value('first token p50')).toBe(100);
    expect(value('between tokens p99')).toBeCloseTo(11);
    expect(samples.every(({ target, round }) => target === 'fake' && round === 2)).toBe(true);
  });

  it('has no percentiles when everything was refused', () => {
    const samples = replaySamples('fake', 0, { timings: [], numRefused: 2, spanMs: 1 }, { ttftMsMax: 1, itlMsMax: 1 });
    expect(samples.map((sample) => sample.scenario)).not.toContain('first token p50');
  });
});
