/** What clients of a gateway with two real rings see: where requests land, and what happens when a ring dies or drains. */
import { afterAll, afterEach, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { post, sseData, until } from './support/http.ts';
import { TEST_MODEL } from './support/real-gateway.ts';
import { startTwoRings, type TwoRings } from './support/two-rings.ts';

let rings: TwoRings;
beforeAll(async () => {
  rings = await startTwoRings();
});
afterAll(() => rings.close());
afterEach(async () => {
  for (const head of rings.heads) {
    head.revive();
    await head.resume();
    head.requests.length = 0;
  }
});

const CHAT = {
  model: TEST_MODEL,
  messages: [{ role: 'user', content: 'Tell me a story' }],
  max_tokens: 24,
  temperature: 1,
  seed: 5,
};
const ADMIN = { authorization: 'Bearer sk-operator' };
const CLIENT = { authorization: 'Bearer sk-local' };

type App = ReturnType<TwoRings['newGateway']>['app'];

const answerOf = async (app: App, more: object = {}): Promise<string> => {
  const response = await post(app, '/v1/chat/completions', { ...CHAT, ...more });
  const body = (await response.json()) as { choices?: { message: { content: string } }[] };
  return body.choices?.[0]?.message.content ?? JSON.stringify(body);
};

const numRequests = (): number[] => rings.heads.map(({ requests }) => requests.length);

/** The ring that a key prefers. */
async function ringOf(key: string): Promise<number> {
  await answerOf(rings.newGateway().app, { prompt_cache_key: key, max_tokens: 1 });
  const index = numRequests().indexOf(1);
  rings.heads.forEach((head) => (head.requests.length = 0));
  return index;
}

async function keyOf(ring: number): Promise<string> {
  for (let key = 0; ; key++) {
    if ((await ringOf(`key-${key}`)) === ring) {
      return `key-${key}`;
    }
  }
}

describe('placement', () => {
  it('keeps requests with one key, and those that begin alike, on one ring', async () => {
    const { app } = rings.newGateway();
    for (const content of ['a', 'b', 'c', 'd']) {
      const messages = [{ role: 'user', content }];
      await answerOf(app, { messages, prompt_cache_key: 'bot', max_tokens: 1 });
    }
    expect(numRequests().sort((a, b) => a - b)).toEqual([0, 4]);
    const system = { role: 'system', content: 'You are a bot of very few words indeed.' };
    rings.heads.forEach((head) => (head.requests.length = 0));
    for (const content of ['a', 'b', 'c', 'd']) {
      await answerOf(app, { messages: [system, { role: 'user', content }], max_tokens: 1 });
    }
    expect(numRequests().sort((a, b) => a - b)).toEqual([0, 4]);
  });

  it('spreads requests that come at once, whatever their key', async () => {
    const { app } = rings.newGateway();
    await Promise.all(Array.from({ length: 8 }, () => answerOf(app, { prompt_cache_key: 'bot' })));
    const [few = 0, many = 0] = numRequests().sort((a, b) => a - b);
    expect(few + many).toBe(8);
    expect(many).toBeLessThanOrEqual(5);
  });
});

describe('a ring that dies in the middle', () => {
  it.each([1, 2, 7, 23])('after %i events is followed by the other one, with the same text', async (numEvents) => {
    const key = await keyOf(1);
    const expected = await answerOf(rings.newGateway().app, { prompt_cache_key: key });
    rings.heads.forEach((head) => (head.requests.length = 0));
    rings.heads[1].dieAfter(numEvents);
    const { app, records } = rings.newGateway();
    const body = await (
      await post(app, '/v1/chat/completions', { ...CHAT, prompt_cache_key: key, stream: true })
    ).text();
    const text = sseData(body)
      .filter((data) => data !== '[DONE]')
      .map((data) => JSON.parse(data).choices[0]?.delta.content ?? '')
      .join('');
    expect(text).toBe(expected);
    expect(sseData(body).at(-1)).toBe('[DONE]');
    expect(numRequests()).toEqual([1, 1]);
    expect(records).toMatchObject([{ outcome: 'completed', completionTokens: 24, numResumes: 1 }]);
  });

  it('is shown by the health page, which is well while the other one serves', async () => {
    rings.heads[0].dieAfter(0);
    const response = await rings.newGateway().app.request('/healthz?deep=1', { headers: CLIENT });
    expect(response.status).toBe(200);
    expect(await response.json()).toMatchObject({
      rings: [{ status: 'degraded', replicas: [{ status: 'failing' }, { status: 'ok' }] }],
    });
  });
});

describe('rings that are full', () => {
  it('answer 429 with the time to come back, after each was asked; what waits is answered', async () => {
    const full = await startTwoRings({ sequencesRunningMax: 1, sequencesWaitingMax: 1 });
    onTestFinished(() => full.close());
    const { app } = full.newGateway();
    const ask = async (maxTokens: number): Promise<Response> =>
      post(app, '/v1/completions', { model: TEST_MODEL, prompt: 'x', max_tokens: maxTokens });
    const isFull = async (numRunning: number, numWaiting: number): Promise<boolean> => {
      const stats = await Promise.all(full.heads.map((head) => head.stats()));
      return stats.every((one) => one.numRunning === numRunning && one.numWaiting === numWaiting);
    };
    const answers = [ask(400), ask(400)];
    await until(() => isFull(1, 0), 'a sequence to run on each ring');
    answers.push(ask(1), ask(1));
    await until(() => isFull(1, 1), 'a sequence to wait for each ring');
    full.heads.forEach((head) => (head.requests.length = 0));
    const refused = await ask(1);
    expect(refused.status).toBe(429);
    expect(Number(refused.headers.get('retry-after'))).toBeGreaterThanOrEqual(1);
    expect(Number(refused.headers.get('retry-after'))).toBeLessThanOrEqual(60);
    expect(await refused.json()).toMatchObject({ error: { code: 'queue_full', type: 'rate_limit_error' } });
    expect(full.heads.map(({ requests }) => requests.length)).toEqual([1, 1]);
    for (const answer of await Promise.all(answers)) {
      expect(answer.status).toBe(200);
    }
  });
});

describe('a ring that is drained', () => {
  const drain = (app: App, index: number, action = 'drain') =>
    app.request(`/v1/admin/replicas/${TEST_MODEL}/${index}/${action}`, { method: 'POST', headers: ADMIN });

  it('gets nothing new, of any gateway, until it is resumed', async () => {
    const key = await keyOf(1);
    const { app } = rings.newGateway();
    expect(await (await drain(app, 1)).json()).toMatchObject({ object: 'replica', index: 1, status: 'draining' });
    const other = rings.newGateway().app;
    const texts = [await answerOf(app, { prompt_cache_key: key }), await answerOf(other, { prompt_cache_key: key })];
    // This gateway knows and does not even ask; the other one is refused and goes on.
    expect(numRequests()).toEqual([2, 1]);
    expect(new Set(texts).size).toBe(1);
    expect(await (await drain(app, 1, 'resume')).json()).toMatchObject({ status: 'serving' });
    expect(await answerOf(app, { prompt_cache_key: key })).toBe(texts[0]);
    expect(numRequests()).toEqual([2, 2]);
  });

  it('finishes what runs', async () => {
    const { app } = rings.newGateway();
    const key = await keyOf(0);
    const response = await post(app, '/v1/chat/completions', { ...CHAT, prompt_cache_key: key, stream: true });
    await drain(app, 0);
    expect(sseData(await response.text()).at(-1)).toBe('[DONE]');
    expect(numRequests()).toEqual([1, 0]);
  });

  it('like all others answers 503 with the time to come back', async () => {
    const { app } = rings.newGateway();
    await Promise.all([drain(app, 0), drain(app, 1)]);
    const response = await post(app, '/v1/chat/completions', CHAT);
    expect(response.status).toBe(503);
    expect(response.headers.get('retry-after')).toMatch(/^\d+$/);
    expect(await response.json()).toMatchObject({ error: { code: 'draining', type: 'server_error' } });
  });
});

describe('the surface of operators', () => {
  it('lists all replicas with their load', async () => {
    const response = await rings.newGateway().app.request('/v1/admin/replicas', { headers: ADMIN });
    expect(await response.json()).toMatchObject({
      object: 'list',
      data: [0, 1].map((index) => ({ model: TEST_MODEL, index, status: 'serving', num_running: 0, num_waiting: 0 })),
    });
  });

  it('tells of one that does not answer, and cannot drain it', async () => {
    rings.heads[1].dieAfter(0);
    const { app, errors } = rings.newGateway();
    const path = `/v1/admin/replicas/${TEST_MODEL}/1`;
    expect(await (await app.request(path, { headers: ADMIN })).json()).toMatchObject({
      status: 'failing',
      stats: null,
    });
    const response = await app.request(`${path}/drain`, { method: 'POST', headers: ADMIN });
    expect(response.status).toBe(503);
    expect(await response.json()).toMatchObject({ error: { code: 'replica_failing' } });
    expect(errors).toHaveLength(2);
  });

  it.each([
    ['GET', '/v1/admin/replicas', CLIENT, 401, 'wrong_admin_key'],
    ['GET', '/v1/admin/replicas', {}, 401, 'missing_admin_key'],
    ['POST', `/v1/admin/replicas/${TEST_MODEL}/0/drain`, CLIENT, 401, 'wrong_admin_key'],
    ['GET', '/v1/admin/anything', CLIENT, 401, 'wrong_admin_key'],
    ['GET', '/v1/admin/anything', ADMIN, 404, 'unknown_url'],
    ['GET', '/v1/models', ADMIN, 401, 'invalid_api_key'],
    ['GET', `/v1/admin/replicas/${TEST_MODEL}/0/drain`, ADMIN, 405, 'method_not_allowed'],
    ['POST', '/v1/admin/replicas', ADMIN, 405, 'method_not_allowed'],
    ['POST', `/v1/admin/replicas/${TEST_MODEL}/2/drain`, ADMIN, 404, 'replica_not_found'],
    ['POST', `/v1/admin/replicas/${TEST_MODEL}/-1/drain`, ADMIN, 404, 'replica_not_found'],
    ['POST', `/v1/admin/replicas/${TEST_MODEL}/0x0/drain`, ADMIN, 404, 'replica_not_found'],
    ['POST', `/v1/admin/replicas/${TEST_MODEL}/0000/drain`, ADMIN, 404, 'replica_not_found'],
    ['POST', '/v1/admin/replicas/none/0/drain', ADMIN, 404, 'replica_not_found'],
    ['POST', '/v1/admin/replicas/constructor/0/drain', ADMIN, 404, 'replica_not_found'],
  ] as const)('answers %s %s with %j by %i %s', async (method, path, headers, status, code) => {
    const response = await rings.newGateway().app.request(path, { method, headers });
    expect(response.status).toBe(status);
    expect(await response.json()).toMatchObject({ error: { code } });
    expect(response.headers.get('x-request-id')).not.toBeNull();
  });
});
