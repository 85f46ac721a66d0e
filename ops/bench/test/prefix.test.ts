import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { AGAIN, benchPrefix, COLD, RESTARTED } from '../prefix/bench-prefix.ts';
import { medianOf } from '../samples.ts';
import { type FakeServer, startFakeServer } from './fake-server.ts';

describe('benchPrefix', () => {
  let server: FakeServer;
  beforeAll(async () => {
    server = await startFakeServer(10);
  });
  afterAll(() => server.stop());

  it('asks three times with one beginning, the last time after a restart', async () => {
    let nowMs = 0;
    let numRestarts = 0;
    const numPromptsAtRestart: number[] = [];
    const samples = await benchPrefix({
      server: {
        current: () => server.target,
        restart: () => {
          numRestarts += 1;
          numPromptsAtRestart.push(server.prompts.length);
          return Promise.resolve();
        },
      },
      rounds: 2,
      promptWords: 30,
      nowMs: () => (nowMs += 1),
      onRound: () => undefined,
    });
    expect(numRestarts).toBe(2);
    // A warm-up; then in each round two requests, the restart, a warm-up, and the third.
    expect(server.prompts).toHaveLength(1 + 2 * 4);
    expect(numPromptsAtRestart).toEqual([3, 7]);
    const [, cold, again, warmUp, restarted, coldOfNext] = server.prompts.map((prompt) => prompt.slice(0, 60));
    expect([again, restarted]).toEqual([cold, cold]);
    expect(new Set([cold, warmUp, coldOfNext]).size).toBe(3);
    expect(new Set(server.prompts).size).toBe(server.prompts.length);
    const cached = [COLD, AGAIN, RESTARTED].map((occasion) =>
      medianOf(samples, 'fake', `${occasion}, cached tokens of the prompt`),
    );
    expect(cached).toEqual([0, 75, 75]);
    expect(medianOf(samples, 'fake', `${COLD}, first token, of the first request's`)).toBe(100);
    expect(samples.every(({ value }) => Number.isFinite(value))).toBe(true);
  });
});
