/** Runs whose object loses its memory: what a client gets afterwards is what it would have got. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parseCatalog } from '../routing/catalog.ts';
import { post, until } from './support/http.ts';
import { startRealGateway, TEST_CATALOG, TEST_MODEL, type TestGateway } from './support/real-gateway.ts';
import { readSome, runEvents, runGateway, type RunEvent, type RunGateway } from './support/run-gateway.ts';
import { chatChunk, ScriptedOrigins, servedByA } from './support/scripted-origins.ts';

let real: TestGateway;
beforeAll(async () => {
  real = await startRealGateway();
});
afterAll(() => real.close());

const CHAT = { model: TEST_MODEL, messages: [{ role: 'user', content: 'Hello' }], max_tokens: 24 };
const AUTH = { authorization: 'Bearer sk-local' };

const chat = (gateway: RunGateway, body: object, key: string) =>
  post(gateway.app, '/v1/chat/completions', body, { 'idempotency-key': key });

const get = (gateway: RunGateway, id: string, query = '') =>
  gateway.app.request(`/v1/responses/${id}${query}`, { headers: AUTH });

interface State {
  readonly status: string;
  readonly error: { readonly code: string } | null;
}

/** Asking for the state of a run wakes its object. */
const stateOf = async (gateway: RunGateway, id: string): Promise<State> => (await get(gateway, id)).json();

/** Events without what no two runs have in common: their names, and how much of the prompt an engine had cached. */
const comparable = (events: readonly RunEvent[]): RunEvent[] =>
  events.map(({ number, data }) => ({ number, data: nothingCached(data.replace(/"id":"[^"]+"/, '"id":""')) }));

const nothingCached = (json: string): string => json.replaceAll(/"cached_tokens":\d+/g, '"cached_tokens":0');

/** An answer in one piece, whatever an engine had cached. */
const bare = (answer: unknown): object => JSON.parse(nothingCached(JSON.stringify(answer))) as object;

/** Waits until so many chunks of the only run of a gateway are written. */
async function written(gateway: RunGateway, numChunks: number): Promise<string> {
  const rows = () =>
    [...gateway.runs.shards.values()].flatMap(({ database }) =>
      database.prepare('SELECT id, num_chunks FROM run WHERE ended_ms IS NULL').all(),
    );
  await until(() => Number(rows()[0]?.['num_chunks'] ?? -1) >= numChunks, `${numChunks} chunks`);
  return String(rows()[0]?.['id']);
}

/** Whose clock runs and whose seeds differ: what an answer depends on must be kept. */
function changingGateway(): RunGateway {
  let numCalls = 0;
  return runGateway(real, {
    randomSeed: () => 40 + numCalls++,
    epochMs: () => 1_700_000_000_000 + 700 * numCalls++,
  });
}

describe('an object that is killed under a stream', () => {
  const bodies = [
    ['a chat', { ...CHAT, seed: 3 }],
    ['a chat without a seed', CHAT],
    ['a chat with log-probabilities and usage', { ...CHAT, logprobs: true, stream_options: { include_usage: true } }],
    ['a chat with stop strings that are half there', { ...CHAT, temperature: 0, stop: ['zzz', 'e f'] }],
  ] as const;
  it.each(bodies)('goes on without a gap or a repeat: %s', async (_name, body) => {
    const undisturbed = changingGateway();
    const streamed = { ...body, stream: true };
    const whole = comparable(runEvents(await (await chat(undisturbed, streamed, 'k')).text()));
    for (const numEvents of [0, 1, 2, 7, 23]) {
      const gateway = changingGateway();
      gateway.head.close(numEvents);
      const response = Promise.resolve(chat(gateway, streamed, 'k'));
      const body1 = response.then((answer) => answer.text());
      const id = await written(gateway, Math.max(0, numEvents - 1));
      gateway.runs.crash();
      gateway.head.open();
      const whileItRuns = runEvents(await (await get(gateway, id, '?stream=true')).text());
      expect(comparable(whileItRuns)).toEqual(whole);
      // The client that stayed has noticed nothing but a pause.
      expect(comparable(runEvents(await body1))).toEqual(whole);
      expect(gateway.records).toMatchObject([{ outcome: 'completed', completionTokens: expect.any(Number) }]);
    }
  });
});

describe('an object that is killed', () => {
  it('goes on with several choices, each where it was', async () => {
    const gateway = runGateway(real);
    const body = { ...CHAT, n: 3, seed: 5 };
    const plain = (await (await post(real.app, '/v1/chat/completions', body)).json()) as object;
    gateway.head.close(9);
    void chat(gateway, { ...body, stream: true }, 'k');
    const id = await written(gateway, 12);
    const begun = await readSome(await get(gateway, id, '?stream=true'), 12);
    gateway.runs.crash();
    gateway.head.open();
    const again = runEvents(await (await get(gateway, id, '?stream=true')).text());
    expect(again.slice(0, 12)).toEqual(begun);
    const state = (await (await get(gateway, id)).json()) as { answer: object };
    expect(bare(state.answer)).toEqual(bare({ ...plain, id }));
  });

  it('goes on with an answer in one piece, which is paid for once', async () => {
    const gateway = runGateway(real);
    const body = { ...CHAT, seed: 5, logprobs: true };
    const plain = (await (await post(real.app, '/v1/chat/completions', body)).json()) as object;
    gateway.head.close(10);
    const first = Promise.resolve(chat(gateway, body, 'k')).then((answer) => answer.json());
    await written(gateway, 9);
    gateway.runs.crash();
    gateway.head.open();
    const second = await (await chat(gateway, body, 'k')).json();
    expect(bare(second)).toEqual(bare({ ...plain, id: (second as { id: string }).id }));
    expect(await first).toEqual(second);
    expect(gateway.records).toMatchObject([{ outcome: 'completed', completionTokens: 24, numResumes: 1 }]);
    expect(gateway.head.requests.at(-1)?.emittedTokens.length).toBeGreaterThan(5);
  });

  it('goes on with a completion that echoes its prompt', async () => {
    const gateway = runGateway(real);
    const body = { model: TEST_MODEL, prompt: 'abc', echo: true, logprobs: 1, max_tokens: 12, seed: 2 };
    const plain = (await (await post(real.app, '/v1/completions', body)).json()) as object;
    gateway.head.close(6);
    const first = post(gateway.app, '/v1/completions', body, { 'idempotency-key': 'k' });
    const id = await written(gateway, 4);
    gateway.runs.crash();
    gateway.head.open();
    expect(bare(await (await first).json())).toEqual(bare({ ...plain, id }));
    expect(gateway.head.requests.at(-1)?.numPromptLogprobs).toBeNull();
  });

  it('goes on at its alarm when nobody asks', async () => {
    let nowMs = 1_700_000_000_000;
    const gateway = runGateway(real, { epochMs: () => nowMs });
    gateway.head.close(5);
    void chat(gateway, { ...CHAT, background: true }, 'k');
    const id = await written(gateway, 3);
    gateway.runs.crash();
    gateway.head.open();
    nowMs += 20_000;
    gateway.runs.fireAlarms();
    await until(() => gateway.records.length > 0, 'the end of the run');
    expect(gateway.records).toMatchObject([{ outcome: 'completed', durationMs: expect.any(Number) }]);
    expect(gateway.records[0]?.durationMs).toBeGreaterThanOrEqual(20_000);
    expect(await (await get(gateway, id)).json()).toMatchObject({ status: 'completed' });
  });

  it('again and again without a chunk in between gives up on the run', async () => {
    const gateway = runGateway(real);
    gateway.head.close(0);
    void chat(gateway, { ...CHAT, background: true }, 'k');
    const id = await written(gateway, 0);
    for (let life = 2; life <= 5; life++) {
      gateway.runs.crash();
      expect((await stateOf(gateway, id)).status).toBe('queued');
    }
    gateway.runs.crash();
    await until(async () => (await stateOf(gateway, id)).status === 'failed', 'the run to be given up');
    expect(await stateOf(gateway, id)).toMatchObject({ error: { code: 'run_interrupted' } });
    expect(gateway.records).toMatchObject([{ outcome: 'failed', errorCode: 'run_interrupted', costCny: 0 }]);
  });

  it('again and again goes on as long as there is a chunk now and then', async () => {
    const gateway = runGateway(real);
    gateway.head.close(0);
    void chat(gateway, { ...CHAT, background: true }, 'k');
    const id = await written(gateway, 0);
    for (let life = 2; life <= 8; life++) {
      gateway.head.close(life === 5 ? 6 : 0);
      gateway.runs.crash();
      await stateOf(gateway, id);
      await written(gateway, life < 5 ? 0 : 3);
    }
    gateway.head.open();
    gateway.runs.crash();
    await stateOf(gateway, id);
    await until(() => gateway.records.length > 0, 'the end of the run');
    expect(gateway.records).toMatchObject([{ outcome: 'completed', completionTokens: 24 }]);
  });

  it('ends a run that an origin served, and keeps what came', async () => {
    const origins = new ScriptedOrigins([servedByA, chatChunk({ content: 'ab' }, 1), { type: 'wait' }]);
    const gateway = runGateway(real, { origins, catalog: parseCatalog(TEST_CATALOG) });
    const body = { model: 'lamina-pro', messages: CHAT.messages, stream: true };
    void chat(gateway, body, 'k');
    const id = await written(gateway, 1);
    const begun = await readSome(await get(gateway, id, '?stream=true'), 1);
    gateway.runs.crash();
    const again = runEvents(await (await get(gateway, id, '?stream=true')).text());
    expect(again[0]).toEqual(begun[0]);
    expect(again).toHaveLength(2);
    expect(JSON.parse(again[1]?.data ?? '')).toMatchObject({ sequence_number: 1, error: { code: 'run_interrupted' } });
    // Whoever has the error already gets nothing more.
    expect(await (await get(gateway, id, '?stream=true&starting_after=1')).text()).toBe('');
    const state = await (await get(gateway, id)).json();
    expect(state).toMatchObject({ status: 'failed', error: { code: 'run_interrupted' }, served_by: 'origins/a' });
    expect(JSON.stringify(state)).toContain('"ab"');
    expect(origins.requests).toHaveLength(1);
    expect(gateway.records).toMatchObject([{ outcome: 'failed', errorCode: 'run_interrupted' }]);
  });

  it('begins again what an origin had not begun to answer', async () => {
    const origins = new ScriptedOrigins([servedByA, { type: 'wait' }]);
    const gateway = runGateway(real, { origins, catalog: parseCatalog(TEST_CATALOG) });
    void chat(gateway, { model: 'lamina-pro', messages: CHAT.messages, stream: true }, 'k');
    await until(() => origins.requests.length === 1, 'the first call');
    gateway.runs.crash();
    void chat(gateway, { model: 'lamina-pro', messages: CHAT.messages, stream: true }, 'k');
    await until(() => origins.requests.length === 2, 'the second call');
  });
});

describe('a disk that is full', () => {
  it('ends a run with an error that has a number, behind the chunks that are there', async () => {
    const gateway = runGateway(real);
    gateway.head.close(4);
    const body = { ...CHAT, max_tokens: 200, seed: 3, stream: true };
    const stream = Promise.resolve(chat(gateway, body, 'k')).then((response) => response.text());
    const id = await written(gateway, 3);
    const [shard] = gateway.runs.shards.values();
    const numPages = Number(shard?.database.prepare('PRAGMA page_count').get()?.['page_count']);
    shard?.database.exec(`PRAGMA max_page_count = ${numPages}`);
    gateway.head.open();
    const events = runEvents(await stream);
    expect(events.map(({ number }) => number)).toEqual(events.map((_, index) => index));
    expect(JSON.parse(events.at(-1)?.data ?? '')).toMatchObject({ error: { code: 'internal' } });
    expect(real.errors.at(-1)).toMatchObject({ message: 'database or disk is full' });
    expect(runEvents(await (await get(gateway, id, '?stream=true')).text())).toEqual(events);
    expect(await (await get(gateway, id)).json()).toMatchObject({ status: 'failed', error: { code: 'internal' } });
    await until(async () => (await gateway.head.stats()).numRunning === 0, 'the sequence to stop');
    expect(gateway.records).toMatchObject([{ outcome: 'failed', errorCode: 'internal' }]);
  });
});
