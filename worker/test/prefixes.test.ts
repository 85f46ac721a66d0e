/** `/v1/prefixes` over a head that says what it is asked. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { finishEvent, tokenEvent } from '../../ops/testing/scripted-head.ts';
import { createGateway } from '../gateway.ts';
import { DEFAULT_GATEWAY_LIMITS } from '../limits.ts';
import type { ServedRecord } from '../metering/served-record.ts';
import { parseCatalog } from '../routing/catalog.ts';
import { chatPrefix } from '../tokenizer/prompt-prefix.ts';
import type { TextModel } from '../tokenizer/text-model.ts';
import { post } from './support/http.ts';
import { LocalPrefixes } from './support/local-prefixes.ts';
import { PrefixHead } from './support/prefix-head.ts';
import { gatewayDeps, TEST_CATALOG, TEST_MODEL, tinyModelFolder } from './support/real-gateway.ts';

let folder: string;
let remove: () => Promise<void>;
let textModel: TextModel;
beforeAll(async () => {
  ({ folder, remove } = await tinyModelFolder());
  textModel = await gatewayDeps(folder, new PrefixHead(), [], []).textModel('/models/tiny');
});
afterAll(() => remove());

function setUp(limits = DEFAULT_GATEWAY_LIMITS, numReplicas = 1) {
  const heads = Array.from({ length: numReplicas }, () => new PrefixHead([tokenEvent(70), finishEvent]));
  const [head = new PrefixHead()] = heads;
  const records: ServedRecord[] = [];
  const time = { nowMs: 1_700_000_000_000 };
  const epochMs = (): number => time.nowMs;
  const prefixes = new LocalPrefixes(epochMs);
  const deps = gatewayDeps(folder, head, records, []);
  const app = createGateway({
    ...deps,
    heads: () => heads,
    catalog: parseCatalog(TEST_CATALOG),
    textModel: () => Promise.resolve(textModel),
    epochMs,
    limits,
    prefixes: prefixes.of,
  });
  return { app, head, heads, records, time, prefixes };
}

type SetUp = ReturnType<typeof setUp>;

const SYSTEM = { role: 'system' as const, content: 'You sell shoes. Sizes run from 35 to 47.' };
const PREFIX = { model: TEST_MODEL, messages: [SYSTEM] };
const AUTH = { authorization: 'Bearer sk-local' };

const warm = async ({ app }: SetUp, body: object, headers: Record<string, string> = {}) => {
  const response = await post(app, '/v1/prefixes', body, headers);
  return { status: response.status, body: (await response.json()) as Record<string, never> };
};

const call = async ({ app }: SetUp, path: string, method = 'GET', headers = AUTH) => {
  const response = await app.request(path, { method, headers });
  return { status: response.status, body: (await response.json()) as Record<string, never> };
};

describe('a prefix', () => {
  it('is warmed where requests with it land, kept, found and let go of', async () => {
    const set = setUp();
    set.head.cachedTokens = 16;
    const created = await warm(set, { ...PREFIX, ttl: 60 });
    const encoded = chatPrefix(textModel.encodeChat, [SYSTEM], 512);
    const tokens = encoded.ok ? encoded.tokens : [];
    expect(created).toEqual({
      status: 200,
      body: {
        id: expect.stringMatching(/^prefix-id\d+$/),
        object: 'prefix',
        model: TEST_MODEL,
        num_tokens: tokens.length,
        cached_tokens: 16,
        created: 1_700_000_000,
        expires_at: 1_700_000_060,
        prompt_cache_key: null,
      },
    });
    const [request] = set.head.warmed;
    expect(request).toMatchObject({ tokens, ttlMs: 60_000 });
    const { id } = created.body;
    expect(await call(set, `/v1/prefixes/${id}`)).toEqual(created);
    expect(await call(set, '/v1/prefixes')).toEqual({ status: 200, body: { object: 'list', data: [created.body] } });
    const deleted = await call(set, `/v1/prefixes/${id}`, 'DELETE');
    expect(deleted).toEqual({ status: 200, body: { id, object: 'prefix', deleted: true } });
    expect(set.head.unpinned).toEqual([{ tokens, cacheSalt: request?.cacheSalt }]);
    expect((await call(set, `/v1/prefixes/${id}`)).status).toBe(404);
    expect((await call(set, `/v1/prefixes/${id}`, 'DELETE')).status).toBe(404);
  });

  it('has one record, with what was found and what it costs', async () => {
    const set = setUp();
    set.head.cachedTokens = 16;
    const { body } = await warm(set, PREFIX);
    expect(set.records).toMatchObject([
      { surface: 'prefixes', outcome: 'completed', promptTokens: body['num_tokens'], cachedTokens: 16, attempts: 1 },
    ]);
    expect(set.records[0]?.costCny).toBeGreaterThan(0);
  });

  it('is the same one again, for longer', async () => {
    const set = setUp({ ...DEFAULT_GATEWAY_LIMITS, prefixesMax: 1 });
    const first = await warm(set, { ...PREFIX, ttl: 60 });
    set.time.nowMs += 30_000;
    const second = await warm(set, { ...PREFIX, ttl: 60 });
    expect(second.body['id']).toBe(first.body['id']);
    expect(second.body['expires_at']).toBe(1_700_000_090);
    const other = await warm(set, { ...PREFIX, prompt_cache_key: 'bot' });
    expect(other).toMatchObject({ status: 429, body: { error: { code: 'too_many_prefixes' } } });
    await call(set, `/v1/prefixes/${first.body['id']}`, 'DELETE');
    expect((await warm(set, { ...PREFIX, prompt_cache_key: 'bot' })).body['prompt_cache_key']).toBe('bot');
  });

  it('is gone when its time is over, by itself', async () => {
    const set = setUp();
    const { body } = await warm(set, { ...PREFIX, ttl: 60 });
    const [shard] = set.prefixes.shards.values();
    expect(shard?.alarmAtMs).toBe(1_700_000_060_000);
    set.time.nowMs += 59_999;
    expect((await call(set, `/v1/prefixes/${body['id']}`)).status).toBe(200);
    set.time.nowMs += 1;
    shard?.host.alarm();
    expect(shard?.database.prepare('SELECT count(*) AS n FROM prefix').get()).toEqual({ n: 0 });
    expect(shard?.alarmAtMs).toBeNull();
    expect((await call(set, '/v1/prefixes')).body['data']).toEqual([]);
  });

  it('leaves pages pinned that another one has in common with it', async () => {
    const set = setUp();
    await warm(set, { ...PREFIX, ttl: 600 });
    const longer = await warm(set, { ...PREFIX, messages: [SYSTEM, { role: 'user', content: 'Boots?' }] });
    await warm(set, { model: TEST_MODEL, prompt: 'Something that begins in another way altogether.' });
    set.time.nowMs += 100_000;
    await call(set, `/v1/prefixes/${longer.body['id']}`, 'DELETE');
    expect(set.head.warmed).toHaveLength(4);
    expect(set.head.warmed[3]).toMatchObject({ tokens: set.head.warmed[0]?.tokens, ttlMs: 500_000 });
  });

  it('belongs to one tenant', async () => {
    const set = setUp();
    const { body } = await warm(set, PREFIX);
    const other = { authorization: 'Bearer sk-second-key' };
    expect((await call(set, `/v1/prefixes/${body['id']}`, 'GET', other)).status).toBe(404);
    expect((await call(set, `/v1/prefixes/${body['id']}`, 'DELETE', other)).status).toBe(404);
    expect((await call(set, '/v1/prefixes', 'GET', other)).body['data']).toEqual([]);
    await warm(set, PREFIX, other);
    expect(new Set(set.head.warmed.map(({ cacheSalt }) => cacheSalt)).size).toBe(2);
  });

  it('is warmed on one replica and let go of on all', async () => {
    const set = setUp(DEFAULT_GATEWAY_LIMITS, 3);
    const { body } = await warm(set, PREFIX);
    expect(set.heads.reduce((sum, { warmed }) => sum + warmed.length, 0)).toBe(1);
    await call(set, `/v1/prefixes/${body['id']}`, 'DELETE');
    expect(set.heads.map(({ unpinned }) => unpinned.length)).toEqual([1, 1, 1]);
  });

  it.each([null, 'bot'])('lies where requests with it are sent (%s)', async (key) => {
    const replicas = new Set<number>();
    for (let question = 0; question < 12; question++) {
      const set = setUp(DEFAULT_GATEWAY_LIMITS, 3);
      const more = key === null ? {} : { prompt_cache_key: `${key} ${question}` };
      const messages = [{ role: 'system', content: `${question} shoes, boots and sandals are what you sell.` }];
      await warm(set, { ...PREFIX, messages, ...more });
      const chat = { model: TEST_MODEL, messages: [...messages, { role: 'user', content: 'Boots?' }], ...more };
      await (await post(set.app, '/v1/chat/completions', chat)).text();
      const warmedAt = set.heads.findIndex(({ warmed }) => warmed.length === 1);
      expect(set.heads.map(({ requests }) => requests.length > 0)).toEqual(set.heads.map((_, at) => at === warmedAt));
      replicas.add(warmedAt);
    }
    expect(replicas.size).toBeGreaterThan(1);
  });

  it('that cannot be computed is not kept', async () => {
    const set = setUp();
    set.head.failures.push({ code: 'ring_failed', message: 'the ring is down', retryable: true });
    expect(await warm(set, PREFIX)).toMatchObject({ status: 503, body: { error: { code: 'ring_failed' } } });
    expect((await call(set, '/v1/prefixes')).body['data']).toEqual([]);
    expect(set.records).toMatchObject([{ outcome: 'failed', costCny: 0 }]);
  });
});

describe('a wrong prefix', () => {
  const long = 'z'.repeat(5000);
  it.each<[string, object, string, string]>([
    ['neither messages nor prompt', { model: TEST_MODEL }, 'messages', 'invalid_value'],
    ['both', { ...PREFIX, prompt: 'x' }, 'messages', 'invalid_value'],
    ['no model', { messages: [SYSTEM] }, 'model', 'invalid_value'],
    ['an unknown model', { ...PREFIX, model: 'none' }, 'model', 'model_not_found'],
    ['a model on origins', { ...PREFIX, model: 'lamina-pro' }, 'model', 'unsupported_model'],
    ['no messages', { ...PREFIX, messages: [] }, 'messages', 'invalid_value'],
    ['two prompts', { model: TEST_MODEL, prompt: ['a', 'b'] }, 'prompt', 'invalid_value'],
    ['less than a page', { model: TEST_MODEL, prompt: [3, 4, 5] }, 'prompt', 'prefix_too_short'],
    ['a word', { model: TEST_MODEL, prompt: 'word' }, 'prompt', 'prefix_too_short'],
    ['a text of nothing', { model: TEST_MODEL, prompt: '' }, 'prompt', 'prefix_too_short'],
    ['more than the context', { model: TEST_MODEL, prompt: long }, 'prompt', 'context_length_exceeded'],
    [
      'messages beyond it',
      { ...PREFIX, messages: [{ role: 'user', content: long }] },
      'messages',
      'context_length_exceeded',
    ],
    ['a token that is none', { model: TEST_MODEL, prompt: [99_999] }, 'prompt[0]', 'invalid_value'],
    ['a ttl of 0', { ...PREFIX, ttl: 0 }, 'ttl', 'invalid_value'],
    ['a ttl of too much', { ...PREFIX, ttl: 2_592_001 }, 'ttl', 'invalid_value'],
    ['a ttl of half a second', { ...PREFIX, ttl: 0.5 }, 'ttl', 'invalid_value'],
    ['an empty cache key', { ...PREFIX, prompt_cache_key: '' }, 'prompt_cache_key', 'invalid_value'],
    ['what is not known', { ...PREFIX, stream: true }, 'stream', 'unknown_parameter'],
    ['background', { ...PREFIX, background: true }, 'background', 'unknown_parameter'],
  ])('is refused by name: %s', async (_name, body, param, code) => {
    const set = setUp();
    const refused = await warm(set, body);
    expect(refused.body).toMatchObject({ error: { param, code } });
    expect([400, 404]).toContain(refused.status);
    expect(set.head.warmed).toEqual([]);
    expect(set.records).toMatchObject([{ outcome: 'refused', costCny: 0 }]);
  });

  it('is refused at its limits and one past them', async () => {
    const page = Array.from({ length: 16 }, (_, index) => 3 + index);
    const set = setUp();
    expect((await warm(set, { model: TEST_MODEL, prompt: page })).status).toBe(200);
    expect((await warm(set, { model: TEST_MODEL, prompt: page.slice(1) })).status).toBe(400);
    const context = (length: number): number[] => Array.from({ length }, () => 5);
    expect((await warm(set, { model: TEST_MODEL, prompt: context(511) })).status).toBe(200);
    expect((await warm(set, { model: TEST_MODEL, prompt: context(512) })).status).toBe(400);
    expect((await warm(set, { ...PREFIX, ttl: 2_592_000 })).status).toBe(200);
    expect((await warm(set, PREFIX, { 'idempotency-key': 'k' })).body).toMatchObject({
      error: { code: 'unsupported_header' },
    });
  });

  it.each(['none', 'prefix-', `prefix-${'a'.repeat(65)}`, 'prefix-id1'])('is not found: %s', async (id) => {
    const set = setUp();
    expect(await call(set, `/v1/prefixes/${id}`)).toMatchObject({
      status: 404,
      body: { error: { code: 'prefix_not_found', param: 'id' } },
    });
    expect((await call(set, `/v1/prefixes/${id}`, 'DELETE')).status).toBe(404);
  });
});
