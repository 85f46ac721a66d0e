/** What clients of runs may do wrong, and each limit at its value and one past it. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { DEFAULT_RUN_LIMITS } from '../runs/limits.ts';
import { post, until } from './support/http.ts';
import { startRealGateway, TEST_MODEL, type TestGateway } from './support/real-gateway.ts';
import { readSome, runEvents, runGateway, type RunGateway } from './support/run-gateway.ts';
import { errorEvent, finishEvent, ScriptedHead, tokenEvent } from '../../ops/testing/scripted-head.ts';

let real: TestGateway;
beforeAll(async () => {
  real = await startRealGateway();
});
afterAll(() => real.close());

const CHAT = { model: TEST_MODEL, messages: [{ role: 'user', content: 'Hello' }], max_tokens: 8, seed: 3 };
const AUTH = { authorization: 'Bearer sk-local' };

const chat = (gateway: RunGateway, body: object, key = 'k') =>
  post(gateway.app, '/v1/chat/completions', body, { 'idempotency-key': key });

const call = (gateway: RunGateway, path: string, method = 'GET', headers: Record<string, string> = {}) =>
  gateway.app.request(path, { method, headers: { ...AUTH, ...headers } });

interface Refused {
  readonly error: { code: string; param: string | null; message: string };
}

async function refusal(response: Response | Promise<Response>) {
  const { status } = await response;
  const { error } = (await (await response).json()) as Refused;
  return { status, code: error.code, param: error.param };
}

describe('a request for a run', () => {
  it.each([
    [1, 200],
    [255, 200],
    [256, 400],
  ])('may have a key of 1 to 255 characters: %i', async (length, status) => {
    const gateway = runGateway(real);
    expect((await chat(gateway, CHAT, 'x'.repeat(length))).status).toBe(status);
    expect(DEFAULT_RUN_LIMITS.keyLengthMax).toBe(255);
  });

  it('says why a key is wrong', async () => {
    const gateway = runGateway(real);
    const expected = { status: 400, code: 'invalid_idempotency_key', param: null };
    expect(await refusal(chat(gateway, CHAT, 'x'.repeat(256)))).toEqual(expected);
    expect(await refusal(chat(gateway, CHAT, ''))).toEqual(expected);
  });

  it.each(['/v1/embeddings', '/v1/rerank', '/v1/images/generations'])('is refused by %s', async (route) => {
    const gateway = runGateway(real);
    const body = { model: TEST_MODEL, input: 'a', query: 'a', documents: ['a'], prompt: 'a' };
    const withKey = post(gateway.app, route, body, { 'idempotency-key': 'k' });
    expect(await refusal(withKey)).toMatchObject({ status: 400, code: 'unsupported_header' });
    const { status, param } = await refusal(post(gateway.app, route, { model: TEST_MODEL, background: true }));
    expect(status).toBe(400);
    expect(param).not.toBeNull();
  });

  it.each([1, 'yes', {}])("has true or false for 'background', not %j", async (background) => {
    const gateway = runGateway(real);
    const response = post(gateway.app, '/v1/chat/completions', { ...CHAT, background });
    expect(await refusal(response)).toEqual({ status: 400, code: 'invalid_value', param: 'background' });
  });

  it('is an ordinary one when it says no', async () => {
    const gateway = runGateway(real);
    for (const background of [false, null]) {
      expect((await post(gateway.app, '/v1/chat/completions', { ...CHAT, background })).status).toBe(200);
    }
    expect(gateway.runs.shards.size).toBe(0);
  });

  it('with a body that is no object is refused as ever', async () => {
    const gateway = runGateway(real);
    expect(await refusal(post(gateway.app, '/v1/chat/completions', '[1]', { 'idempotency-key': 'k' }))).toMatchObject({
      status: 400,
    });
  });
});

describe('/v1/responses', () => {
  it.each(['none', 'chatcmpl-9abc', 'chatcmpl-0abc', 'cmpl-7', 'chatcmpl-', `chatcmpl-0${'a'.repeat(65)}`])(
    'does not know %s',
    async (id) => {
      const gateway = runGateway(real);
      const expected = { status: 404, code: 'response_not_found', param: 'id' };
      expect(await refusal(call(gateway, `/v1/responses/${id}`))).toEqual(expected);
      expect(await refusal(call(gateway, `/v1/responses/${id}?stream=true`))).toEqual(expected);
      expect(await refusal(call(gateway, `/v1/responses/${id}`, 'DELETE'))).toEqual(expected);
      expect(await refusal(call(gateway, `/v1/responses/${id}/cancel`, 'POST'))).toEqual(expected);
    },
  );

  it('needs a key and the right method', async () => {
    const gateway = runGateway(real);
    expect((await gateway.app.request('/v1/responses/chatcmpl-0a')).status).toBe(401);
    const response = await call(gateway, '/v1/responses/chatcmpl-0a', 'PUT');
    expect(response.status).toBe(405);
    expect(response.headers.get('allow')).toBe('GET, DELETE');
    expect((await call(gateway, '/v1/responses/chatcmpl-0a/cancel')).status).toBe(405);
  });

  it('gives nothing beyond the end, and nothing wrong for what is no number', async () => {
    const gateway = runGateway(real);
    const events = runEvents(await (await chat(gateway, { ...CHAT, stream: true })).text());
    const { id } = JSON.parse(events[0]?.data ?? '') as { id: string };
    const path = `/v1/responses/${id}`;
    const last = events.length - 1;
    const atEnd = await call(gateway, `${path}?stream=true&starting_after=${last}`);
    expect([atEnd.status, await atEnd.text()]).toEqual([200, '']);
    for (const number of [String(last + 1), '999999999', '-1', '1.5', 'x', '', '1e3', '9999999999']) {
      const expected = { status: 400, code: 'invalid_value', param: 'starting_after' };
      expect(await refusal(call(gateway, `${path}?stream=true&starting_after=${number}`))).toEqual(expected);
    }
    const byHeader = call(gateway, `${path}?stream=true`, 'GET', { 'last-event-id': 'x' });
    expect(await refusal(byHeader)).toMatchObject({ status: 400, param: 'Last-Event-ID' });
    expect(await refusal(call(gateway, `${path}?starting_after=1`))).toMatchObject({ param: 'starting_after' });
    expect(await refusal(call(gateway, `${path}?stream=yes`))).toMatchObject({ status: 400, param: 'stream' });
  });
});

describe('limits of runs', () => {
  it('lets so many runs of one object be under way, and be kept', async () => {
    const gateway = runGateway(real, {}, { liveRunsMax: 2, keptRunsMax: 3 });
    gateway.head.close(1);
    const start = (seed: number) =>
      post(gateway.app, '/v1/chat/completions', { ...CHAT, seed, background: true }, {}) as Promise<Response>;
    const ids: string[] = [];
    for (const seed of [1, 2]) {
      ids.push(((await (await start(seed)).json()) as { id: string }).id);
    }
    const full = await start(3);
    expect(full.headers.get('retry-after')).toBe('5');
    expect(await refusal(full)).toMatchObject({ status: 429, code: 'too_many_runs' });
    gateway.head.open();
    await until(() => gateway.records.filter(({ outcome }) => outcome === 'completed').length === 2, 'both');
    expect((await start(3)).status).toBe(200);
    await until(() => gateway.records.filter(({ outcome }) => outcome === 'completed').length === 3, 'all three');
    expect((await start(4)).status).toBe(429);
    await call(gateway, `/v1/responses/${ids[0]}`, 'DELETE');
    expect((await start(4)).status).toBe(200);
  });

  it('lets so many read one run', async () => {
    const gateway = runGateway(real, {}, { readersMax: 2 });
    gateway.head.close(4);
    const first = await chat(gateway, { ...CHAT, stream: true });
    const second = chat(gateway, { ...CHAT, stream: true });
    await readSome(await second, 1);
    const third = await chat(gateway, { ...CHAT, stream: true });
    expect(await refusal(chat(gateway, { ...CHAT, stream: true }))).toMatchObject({
      status: 429,
      code: 'too_many_readers',
    });
    await third.body?.cancel();
    const again = await chat(gateway, { ...CHAT, stream: true });
    gateway.head.open();
    expect(runEvents(await again.text()).at(-1)?.data).toBe('[DONE]');
    await first.body?.cancel();
  });

  it('keeps so many bytes of one run', async () => {
    const whole = runGateway(real);
    await (await chat(whole, CHAT)).json();
    const [shard] = whole.runs.shards.values();
    const numBytes = Number(shard?.database.prepare('SELECT num_bytes FROM run').get()?.['num_bytes']);
    const enough = runGateway(real, {}, { runBytesMax: numBytes + 20 });
    expect((await chat(enough, CHAT)).status).toBe(200);
    const tooFew = runGateway(real, {}, { runBytesMax: numBytes - 20 });
    expect(await refusal(chat(tooFew, CHAT))).toMatchObject({ status: 400, code: 'run_too_large' });
    expect(tooFew.records).toMatchObject([{ outcome: 'failed', errorCode: 'run_too_large', costCny: 0 }]);
    const largeChunk = runGateway(real, {}, { chunkBytesMax: 60 });
    expect(await refusal(chat(largeChunk, CHAT))).toMatchObject({ status: 400, code: 'run_too_large' });
  });

  it('writes no batch longer than it may be', async () => {
    const gateway = runGateway(real, {}, { batchChunksMax: 3, batchMs: 60_000 });
    await (await chat(gateway, CHAT)).json();
    const [shard] = gateway.runs.shards.values();
    const batches = shard?.database.prepare('SELECT first_number, chunks FROM batch ORDER BY first_number').all() ?? [];
    const sizes = batches.map(({ chunks }) => String(chunks).split('\n').length);
    expect(sizes[0]).toBe(1);
    expect(Math.max(...sizes)).toBe(3);
    expect(sizes.slice(1, -1).every((size) => size === 3)).toBe(true);
  });
});

describe('a run that fails', () => {
  it('before its first chunk has the status of its failure, and its key is free', async () => {
    const head = new ScriptedHead([errorEvent('queue_full', true)], [tokenEvent(70), finishEvent]);
    const gateway = runGateway(real, { heads: () => [head] });
    expect(await refusal(chat(gateway, CHAT))).toMatchObject({ status: 429, code: 'queue_full' });
    expect((await chat(gateway, CHAT)).status).toBe(200);
    expect(gateway.records.map(({ outcome, costCny }) => [outcome, costCny > 0])).toEqual([
      ['failed', false],
      ['completed', true],
    ]);
  });

  it('later ends with an event that has a number, for everybody', async () => {
    const head = new ScriptedHead([tokenEvent(70), tokenEvent(71), errorEvent('internal', false)]);
    const gateway = runGateway(real, { heads: () => [head] });
    const events = runEvents(await (await chat(gateway, { ...CHAT, stream: true })).text());
    expect(events.map(({ number }) => number)).toEqual(events.map((_, index) => index));
    expect(JSON.parse(events.at(-1)?.data ?? '')).toMatchObject({ error: { code: 'internal' } });
    const again = runEvents(await (await chat(gateway, { ...CHAT, stream: true })).text());
    expect(again).toEqual(events);
    expect(head.requests).toHaveLength(1);
    const { id } = JSON.parse(events[0]?.data ?? '') as { id: string };
    const state = await (await call(gateway, `/v1/responses/${id}`)).json();
    expect(state).toMatchObject({ status: 'failed', error: { code: 'internal' }, output: [{ status: 'incomplete' }] });
  });
});
