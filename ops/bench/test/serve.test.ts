import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { scenariosOf } from '../samples.ts';
import { benchServe } from '../serve/bench-serve.ts';
import { timeStream } from '../streams.ts';
import { type FakeServer, startFakeServer } from './fake-server.ts';

describe('benchServe', () => {
  let server: FakeServer;
  beforeAll(async () => {
    server = await startFakeServer(10);
  });
  afterAll(() => server.stop());

  it('measures every scenario of every target in turn, with the same prompts for each', async () => {
    // A clock that goes on by 1 ms whenever it is looked at: no rate is infinite.
    let nowMs = 0;
    const [a, b] = ['a', 'b'].map((name) => ({ ...server.target, name }));
    const samples = await benchServe({
      targets: [a ?? server.target, b ?? server.target],
      rounds: 2,
      promptWords: 20,
      maxTokens: 6,
      concurrency: [1, 3],
      nowMs: () => (nowMs += 1),
      onRound: () => undefined,
    });
    expect(scenariosOf(samples)).toEqual([
      'prefill (20 words)',
      '1 stream',
      '1 stream, first token p50',
      ...['p50', 'p95', 'p99'].map((q) => `1 stream, between tokens ${q}`),
      '3 streams',
      ...['first token', 'between tokens'].flatMap((what) =>
        ['p50', 'p95', 'p99'].map((q) => `3 streams, ${what} ${q}`),
      ),
    ]);
    expect(
      samples.filter(({ scenario }) => scenario === '3 streams').map(({ target, round }) => [target, round]),
    ).toEqual([
      ['a', 0],
      ['b', 0],
      ['b', 1],
      ['a', 1],
    ]);
    expect(samples.every(({ value }) => Number.isFinite(value) && value > 0)).toBe(true);
    // A warm-up for each target, and in each of two rounds one long prompt, one stream and three.
    expect(server.prompts).toHaveLength(2 * (1 + 2 * (1 + 1 + 3)));
    // The two targets, one server here, get the same prompts, and each gets none of them twice.
    expect(new Set(server.prompts).size).toBe(server.prompts.length / 2);
    expect([...server.prompts].sort()).toEqual(
      [...new Set(server.prompts)].flatMap((prompt) => [prompt, prompt]).sort(),
    );
  });

  it('says which server refused', async () => {
    await expect(timeStream(server.target, 'x', 11, () => 0)).rejects.toThrow('fake answered 429');
  });
});
