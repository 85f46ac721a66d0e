/** Runs as their clients see them: kept answers, streams that are taken up again, runs in the background. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parseCatalog } from '../routing/catalog.ts';
import { post, until } from './support/http.ts';
import { startRealGateway, TEST_CATALOG, TEST_MODEL, type TestGateway } from './support/real-gateway.ts';
import { chatText, readSome, runEvents, runGateway, type RunGateway } from './support/run-gateway.ts';

let real: TestGateway;
beforeAll(async () => {
  real = await startRealGateway();
});
afterAll(() => real.close());

const CHAT = { model: TEST_MODEL, messages: [{ role: 'user', content: 'Hello' }], max_tokens: 24, seed: 3 };
const STREAM = { ...CHAT, stream: true };
const KEY = { 'idempotency-key': 'a key' };
const AUTH = { authorization: 'Bearer sk-local' };

const chat = (gateway: RunGateway, body: object, headers: Record<string, string> = KEY) =>
  post(gateway.app, '/v1/chat/completions', body, headers);

const get = (gateway: RunGateway, id: string, query = '', headers: Record<string, string> = {}) =>
  gateway.app.request(`/v1/responses/${id}${query}`, { headers: { ...AUTH, ...headers } });

const idOf = (data: string): string => JSON.parse(data).id;

describe('an Idempotency-Key', () => {
  it('gives the same answer again, and it is paid for once', async () => {
    const gateway = runGateway(real);
    const first = await (await chat(gateway, CHAT)).json();
    const second = await (await chat(gateway, CHAT)).json();
    expect(second).toEqual(first);
    expect(gateway.head.requests).toHaveLength(1);
    expect(gateway.records).toMatchObject([{ outcome: 'completed', completionTokens: 24, isStream: false }]);
  });

  it.each([
    ['in one piece', { logprobs: true, top_logprobs: 2 }],
    ['of several choices', { n: 2, stop: ['e'] }],
  ])('changes nothing in an answer %s', async (_name, more) => {
    const gateway = runGateway(real);
    const plain = (await (await post(real.app, '/v1/chat/completions', { ...CHAT, ...more })).json()) as object;
    const kept = (await (await chat(gateway, { ...CHAT, ...more })).json()) as object;
    expect(kept).toEqual({ ...plain, id: expect.stringMatching(/^chatcmpl-[0-7]id/) });
  });

  it('changes nothing in a completion', async () => {
    const gateway = runGateway(real);
    const body = { model: TEST_MODEL, prompt: ['abc', 'd'], echo: true, logprobs: 2, max_tokens: 5, seed: 1 };
    const plain = (await (await post(real.app, '/v1/completions', body)).json()) as object;
    const kept = (await (await post(gateway.app, '/v1/completions', body, KEY)).json()) as object;
    expect(kept).toEqual({ ...plain, id: expect.stringMatching(/^cmpl-[0-7]id/) });
  });

  it('changes nothing in a stream but that its events have numbers', async () => {
    const gateway = runGateway(real);
    const events = runEvents(await (await chat(gateway, STREAM)).text());
    const plain = (await (await post(real.app, '/v1/chat/completions', STREAM)).text()).split('\n\n').slice(0, -1);
    expect(events.map(({ number }) => number)).toEqual(plain.map((_, index) => index));
    expect(events.at(-1)?.data).toBe('[DONE]');
    const withoutIds = (data: string): unknown =>
      data === '[DONE]' ? data : { ...JSON.parse(data), id: null, sequence_number: undefined };
    expect(events.map(({ data }) => withoutIds(data))).toEqual(
      plain.map((event) => withoutIds(event.slice('data: '.length))),
    );
    events.slice(0, -1).forEach(({ number, data }) => expect(JSON.parse(data).sequence_number).toBe(number));
  });

  it('changes nothing in who serves: a fallback that the request allows, and the headers that tell', async () => {
    const gateway = runGateway(real, { catalog: parseCatalog(TEST_CATALOG) });
    const body = { ...STREAM, model: 'lamina-pro', fallback: 'lite' };
    for (const key of ['a key', 'a key', 'another']) {
      const response = await chat(gateway, body, { 'idempotency-key': key });
      expect(response.headers.get('x-lamina-served-by')).toBe('ring/tiny');
      expect(response.headers.get('x-lamina-fallback')).toBe('not_configured');
      expect(runEvents(await response.text()).at(-1)?.data).toBe('[DONE]');
    }
    expect(gateway.records).toMatchObject([
      { model: 'lamina-pro', servedModel: TEST_MODEL },
      { model: 'lamina-pro', servedModel: TEST_MODEL },
    ]);
  });

  it('leads to the run that is under way', async () => {
    const gateway = runGateway(real);
    gateway.head.close(5);
    const first = readSome(await chat(gateway, STREAM), 3);
    await until(() => gateway.head.requests.length === 1, 'the run to begin');
    const second = Promise.resolve(chat(gateway, STREAM)).then((response) => response.text());
    const begun = await first;
    gateway.head.open();
    const events = runEvents(await second);
    expect(events.slice(0, 3)).toEqual(begun);
    expect(events.at(-1)?.data).toBe('[DONE]');
    expect(gateway.head.requests).toHaveLength(1);
  });

  it.each([
    ['another body', '/v1/chat/completions', { ...CHAT, seed: 4 }],
    ['another form of answer', '/v1/chat/completions', STREAM],
    ['the background', '/v1/chat/completions', { ...CHAT, background: true }],
    ['another endpoint', '/v1/completions', { model: TEST_MODEL, prompt: 'Hello' }],
  ])('belongs to one request: not to %s', async (_name, route, body) => {
    const gateway = runGateway(real);
    await (await chat(gateway, CHAT)).json();
    const response = await post(gateway.app, route, body, KEY);
    expect(response.status).toBe(422);
    expect(await response.json()).toMatchObject({ error: { code: 'idempotency_key_reused' } });
  });

  it('of one tenant says nothing about that of another', async () => {
    const gateway = runGateway(real);
    const first = (await (await chat(gateway, CHAT)).json()) as { id: string };
    const other = await chat(gateway, { ...CHAT, seed: 4 }, { ...KEY, authorization: 'Bearer sk-second-key' });
    expect(other.status).toBe(200);
    const foreign = await gateway.app.request(`/v1/responses/${first.id}`, {
      headers: { authorization: 'Bearer sk-second-key' },
    });
    expect(foreign.status).toBe(404);
  });

  it('is free again when nothing came of the request', async () => {
    const gateway = runGateway(real);
    expect((await chat(gateway, { ...CHAT, temperature: 9 })).status).toBe(400);
    expect((await chat(gateway, CHAT)).status).toBe(200);
    expect(gateway.records.map(({ outcome }) => outcome)).toEqual(['refused', 'completed']);
  });
});

describe('a client that leaves', () => {
  it('leaves the run going, and gets the rest when it comes back', async () => {
    const gateway = runGateway(real);
    const whole = runEvents(await (await chat(gateway, STREAM, { 'idempotency-key': 'undisturbed' })).text());
    gateway.head.close(8);
    const begun = await readSome(await chat(gateway, STREAM), 4);
    const id = idOf(begun[0]?.data ?? '');
    gateway.head.open();
    const byHeader = await get(gateway, id, '?stream=true&starting_after=0', { 'last-event-id': '3' });
    const rest = runEvents(await byHeader.text());
    expect(rest[0]?.number).toBe(4);
    expect(chatText([...begun, ...rest])).toBe(chatText(whole));
    expect(rest.at(-1)).toEqual({ number: whole.length - 1, data: '[DONE]' });
    const byQuery = await get(gateway, id, '?stream=true&starting_after=3');
    expect(runEvents(await byQuery.text())).toEqual(rest);
    const byPost = await chat(gateway, STREAM, { ...KEY, 'last-event-id': '3' });
    expect(runEvents(await byPost.text())).toEqual(rest);
    expect(gateway.records).toHaveLength(2);
  });

  it('takes a request without a key with it', async () => {
    const gateway = runGateway(real);
    gateway.head.close(4);
    const response = await chat(gateway, STREAM, {});
    const reader = response.body?.getReader();
    await reader?.read();
    await reader?.cancel();
    await until(() => gateway.records.length > 0, 'the record');
    expect(gateway.records).toMatchObject([{ outcome: 'client_gone' }]);
    expect(gateway.runs.shards.size).toBe(0);
  });
});

describe('a run in the background', () => {
  it('tells its state while it runs, and the answer when it is over', async () => {
    const gateway = runGateway(real);
    gateway.head.close(6);
    const started = (await (await chat(gateway, { ...CHAT, background: true }, {})).json()) as { id: string };
    expect(started).toMatchObject({ object: 'response', background: true, answer: null, usage: null });
    const state = async () => (await (await get(gateway, started.id)).json()) as Record<string, never>;
    await until(async () => (await state())['status'] === 'in_progress', 'the first chunk');
    const partial = await state();
    expect(partial).toMatchObject({ served_by: 'ring/tiny', expires_at: null, error: null, model: TEST_MODEL });
    gateway.head.open();
    await until(async () => (await state())['status'] === 'completed', 'the end of the run');
    const ended = (await state()) as unknown as {
      output: { status: string; content: { text: string }[] }[];
      answer: { choices: { message: { content: string } }[]; usage: object };
    };
    const plain = (await (await post(real.app, '/v1/chat/completions', CHAT)).json()) as typeof ended.answer;
    expect(ended.answer).toEqual({ ...plain, id: started.id });
    expect(ended.output[0]).toMatchObject({ status: 'completed', role: 'assistant' });
    expect(ended.output[0]?.content[0]?.text).toBe(plain.choices[0]?.message.content);
    expect(ended).toMatchObject({ usage: { output_tokens: 24 }, expires_at: 1_700_000_300 });
  });

  it('streams when it is asked to, and is refused at once when it is wrong', async () => {
    const gateway = runGateway(real);
    const events = runEvents(await (await chat(gateway, { ...STREAM, background: true }, {})).text());
    expect(events.at(-1)?.data).toBe('[DONE]');
    const refused = await chat(gateway, { ...CHAT, model: 'none', background: true }, {});
    expect(refused.status).toBe(404);
    expect(gateway.records.map(({ outcome }) => outcome)).toEqual(['completed', 'refused']);
  });
});

describe('cancel and delete', () => {
  it('ends a run for everybody who reads it; what was generated is paid for', async () => {
    const gateway = runGateway(real);
    gateway.head.close(6);
    const { id } = (await (await chat(gateway, { ...CHAT, background: true }, {})).json()) as { id: string };
    const stream = await get(gateway, id, '?stream=true');
    const body = stream.text();
    await until(
      async () => ((await (await get(gateway, id)).json()) as { status: string }).status === 'in_progress',
      'it',
    );
    const cancel = () => gateway.app.request(`/v1/responses/${id}/cancel`, { method: 'POST', headers: AUTH });
    const cancelled = await (await cancel()).json();
    expect(cancelled).toMatchObject({ status: 'cancelled', error: { code: 'run_cancelled' } });
    const last = runEvents(await body).at(-1);
    expect(JSON.parse(last?.data ?? '')).toMatchObject({ error: { code: 'run_cancelled' } });
    expect(await (await cancel()).json()).toEqual(cancelled);
    expect(gateway.records).toMatchObject([{ outcome: 'client_gone', errorCode: null }]);
    expect(gateway.records[0]?.completionTokens).toBeGreaterThan(0);
    expect((await gateway.head.stats()).numRunning).toBe(0);
  });

  it('removes a run with everything that is kept of it', async () => {
    const gateway = runGateway(real);
    const { id } = (await (await chat(gateway, CHAT)).json()) as { id: string };
    const remove = () => gateway.app.request(`/v1/responses/${id}`, { method: 'DELETE', headers: AUTH });
    expect(await (await remove()).json()).toEqual({ id, object: 'response', deleted: true });
    expect((await remove()).status).toBe(404);
    expect((await get(gateway, id)).status).toBe(404);
    const [shard] = gateway.runs.shards.values();
    expect(shard?.database.prepare('SELECT count(*) AS n FROM batch').get()).toEqual({ n: 0 });
    expect((await chat(gateway, { ...CHAT, seed: 9 })).status).toBe(200);
  });

  it('stops a run that is deleted under its readers', async () => {
    const gateway = runGateway(real);
    gateway.head.close(6);
    const response = await chat(gateway, STREAM);
    const body = response.text();
    await until(() => gateway.head.requests.length === 1, 'the run to begin');
    const [name] = [...gateway.runs.shards.keys()];
    await gateway.runs.deps.runs('', 0).forget();
    const row = gateway.runs.shards
      .get(name ?? '')
      ?.database.prepare('SELECT id FROM run')
      .get();
    await gateway.app.request(`/v1/responses/${String(row?.['id'])}`, { method: 'DELETE', headers: AUTH });
    expect(await body).toContain('response_not_found');
    await until(async () => (await gateway.head.stats()).numRunning === 0, 'the sequence to stop');
  });
});

describe('retention', () => {
  it('keeps a run for five minutes after its end, and then nothing of it', async () => {
    let nowMs = 1_700_000_000_000;
    const gateway = runGateway(real, { epochMs: () => nowMs });
    const { id } = (await (await chat(gateway, CHAT)).json()) as { id: string };
    const [shard] = gateway.runs.shards.values();
    nowMs += 299_999;
    gateway.runs.fireAlarms();
    expect((await get(gateway, id)).status).toBe(200);
    nowMs += 1;
    gateway.runs.fireAlarms();
    for (const table of ['run', 'batch']) {
      expect(shard?.database.prepare(`SELECT count(*) AS n FROM ${table}`).get()).toEqual({ n: 0 });
    }
    expect(shard?.alarmAtMs).toBeNull();
    expect((await get(gateway, id)).status).toBe(404);
    expect((await chat(gateway, { ...CHAT, seed: 9 })).status).toBe(200);
  });
});
