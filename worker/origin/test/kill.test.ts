/** An origin's process is killed under fifty streams. */
import { afterAll, beforeAll, expect, it } from 'vitest';
import { OriginError, type OriginBackend } from '../origin-backend.ts';
import { chatRequest, collect, type Engines, poolOver, startEngines } from './support/real-origins.ts';

const STREAMS = 50;
/** Enough for the streams that are cut to be well under way, and for the others not to take long. */
const TOKENS = 150;

let engines: Engines;

beforeAll(async () => {
  engines = await startEngines();
});
afterAll(() => engines.stop());

const { signal } = new AbortController();

function ask(pool: OriginBackend, maxTokens: number, onChunk?: () => void) {
  const { body } = chatRequest();
  return collect(pool.stream(chatRequest({ body: { ...body, max_tokens: maxTokens } }), signal), onChunk);
}

it('cuts its streams with an error, serves the others and new requests, and takes it back when it returns', async () => {
  const [a, b] = engines.engines;
  const pool = poolOver([a.url, b.url], { concurrency: STREAMS });
  let numChunks = 0;
  let startKilling = (): void => {};
  const wellUnderWay = new Promise<void>((resolve) => {
    startKilling = resolve;
  });
  const onChunk = (): void => {
    if (++numChunks === STREAMS) {
      startKilling();
    }
  };
  const running = Array.from({ length: STREAMS }, () => ask(pool, TOKENS, onChunk));
  await wellUnderWay;
  process.kill(a.pid, 'SIGKILL');
  await a.ended;
  const during = await Promise.all(Array.from({ length: 10 }, () => ask(pool, 8)));
  expect(during.map(({ error, servedBy }) => [error, servedBy?.originId])).toEqual(during.map(() => [null, 'b']));

  const results = await Promise.all(running);
  for (const { error, hasEnded, finishReason, completionTokens, servedBy } of results) {
    if (error === null) {
      // It ran at the other, or had not begun.
      expect([hasEnded, finishReason, completionTokens, servedBy?.originId]).toEqual([true, 'length', TOKENS, 'b']);
    } else {
      expect(error).toBeInstanceOf(OriginError);
      expect((error as OriginError).code).toBe('cut');
      expect([hasEnded, finishReason, completionTokens]).toEqual([false, null, (error as OriginError).tokensSent]);
    }
  }
  expect(results.some(({ error }) => error !== null)).toBe(true);
  expect(results.some(({ error }) => error === null)).toBe(true);
  expect(pool.health()).toMatchObject([
    { id: 'a', breaker: 'open', inFlight: 0, waiting: 0 },
    { id: 'b', breaker: 'closed', inFlight: 0, waiting: 0 },
  ]);

  const again = await engines.start(Number(new URL(a.url).port));
  try {
    let servedByA = 0;
    while (servedByA < 3) {
      const { error, servedBy } = await ask(pool, 8);
      expect(error).toBeNull();
      servedByA += servedBy?.originId === 'a' ? 1 : 0;
    }
    expect(pool.health()[0]).toMatchObject({ id: 'a', breaker: 'closed' });
  } finally {
    await again.stop();
  }
});
