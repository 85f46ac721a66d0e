import { expect, it } from 'vitest';
import { benchStart, PARTS, type StartSubject, WARM, WHOLE } from '../start/bench-start.ts';

it('asks a new platform for the whole, and another one for part after part', async () => {
  const log: string[] = [];
  let nowMs = 0;
  const subject = (name: string): StartSubject => ({
    name,
    start: () => {
      log.push(`start ${name}`);
      const stop = (): Promise<void> => Promise.resolve(void log.push(`stop ${name}`));
      return Promise.resolve({ url: new URL(`http://${name}/`), startMs: new Map([['Workers runtime', 7]]), stop });
    },
  });
  const ask = (what: string, ms: number) => (url: URL) => {
    log.push(`${what} ${url.hostname}`);
    nowMs += ms;
    return Promise.resolve();
  };
  const samples = await benchStart({
    subjects: [subject('a'), subject('b')],
    requests: { chat: ask('chat', 50), models: ask('models', 1), embedding: ask('embedding', 20) },
    rounds: 2,
    nowMs: () => nowMs,
    onRound() {},
  });
  const turn = (name: string): string[] =>
    ['start', 'chat', 'chat', 'stop', 'start', 'models', 'embedding', 'chat', 'stop'].map((what) => `${what} ${name}`);
  expect(log).toEqual(['a', 'b', 'b', 'a'].flatMap(turn));
  const first = samples.filter(({ target, round }) => target === 'a' && round === 0);
  expect(Object.fromEntries(first.map(({ scenario, value }) => [scenario, value]))).toEqual({
    'Workers runtime': 7,
    [WHOLE]: 50,
    [WARM]: 50,
    [PARTS.models]: 1,
    [PARTS.embedding]: 20,
    [PARTS.chat]: 50,
  });
});

it('stops the platform that does not answer', async () => {
  const log: string[] = [];
  const stop = (): Promise<void> => Promise.resolve(void log.push('stop'));
  const broken = { name: 'a', start: () => Promise.resolve({ url: new URL('http://a/'), startMs: new Map(), stop }) };
  const ask = (): Promise<void> => Promise.reject(new Error('no answer'));
  const requests = { chat: ask, models: ask, embedding: ask };
  const run = benchStart({ subjects: [broken], requests, rounds: 1, nowMs: () => 0, onRound() {} });
  await expect(run).rejects.toThrow('no answer');
  expect(log).toEqual(['stop']);
});
