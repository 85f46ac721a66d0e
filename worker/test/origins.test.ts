/** Answers of origins as clients get them: under the gateway's own head, whole or with an error, and counted. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { HEARTBEAT_MS } from '../api/http/held-response.ts';
import { createGateway } from '../gateway.ts';
import type { ServedRecord } from '../metering/served-record.ts';
import { parseCatalog } from '../routing/catalog.ts';
import { post, sseData, until, type ErrorBody } from './support/http.ts';
import { ManualClock } from '../../ops/testing/manual-clock.ts';
import { gatewayDeps, TEST_CATALOG, tinyModelFolder } from './support/real-gateway.ts';
import { ScriptedHead } from '../../ops/testing/scripted-head.ts';
import {
  chatChunk,
  endOf,
  ScriptedOrigins,
  servedByA,
  type OriginStep,
  type ScriptedOriginsOptions,
} from './support/scripted-origins.ts';

let folder: string;
let remove: () => Promise<void>;
beforeAll(async () => {
  ({ folder, remove } = await tinyModelFolder());
});
afterAll(() => remove());

function setUp(steps: readonly OriginStep[], options: ScriptedOriginsOptions = {}) {
  const origins = new ScriptedOrigins(steps, options);
  const clock = new ManualClock();
  const records: ServedRecord[] = [];
  const errors: unknown[] = [];
  const app = createGateway({
    ...gatewayDeps(folder, new ScriptedHead(), records, errors),
    catalog: parseCatalog(TEST_CATALOG),
    origins,
    clock,
  });
  return { app, origins, clock, records, errors };
}

const CHAT = '/v1/chat/completions';
const PRO = { model: 'lamina-pro', messages: [{ role: 'user', content: 'Hi' }] };
const HELLO: readonly OriginStep[] = [
  servedByA,
  chatChunk({ role: 'assistant', content: null }, 0),
  chatChunk({ reasoning_content: 'hm' }, 1),
  chatChunk({ content: 'Hel' }, 2),
  chatChunk({ content: 'lo' }, 3),
  chatChunk({}, 3, 'stop'),
  endOf({ promptTokens: 11, completionTokens: 4, cachedTokens: 8, reasoningTokens: 1 }),
];
const TOOL_CALL: readonly OriginStep[] = [
  servedByA,
  chatChunk({ tool_calls: [{ index: 0, id: 'c1', type: 'function', function: { name: 'f', arguments: '{"a"' } }] }, 1),
  chatChunk({ tool_calls: [{ index: 0, function: { arguments: ':1}' } }] }, 2),
  chatChunk({ tool_calls: [{ index: 1, id: 'c2', type: 'function', function: { name: 'g', arguments: '{}' } }] }, 3),
  chatChunk({}, 3, 'tool_calls'),
  endOf({ promptTokens: 5, completionTokens: 3 }),
];

const HEAD = { id: 'chatcmpl-id2', created: 1_700_000_000, model: 'lamina-pro' };
const USAGE = {
  prompt_tokens: 11,
  completion_tokens: 4,
  total_tokens: 15,
  prompt_tokens_details: { cached_tokens: 8 },
  completion_tokens_details: { reasoning_tokens: 1 },
};

describe('a chat that an origin serves', () => {
  it('streams under our own head, with the usage only when asked', async () => {
    for (const include of [true, false]) {
      const { app } = setUp(HELLO);
      const stream_options = { include_usage: include };
      const response = await post(app, CHAT, { ...PRO, stream: true, stream_options });
      expect(response.headers.get('x-lamina-served-by')).toBe('origins/a');
      expect(response.headers.get('x-lamina-fallback')).toBeNull();
      const data = sseData(await response.text());
      expect(data.pop()).toBe('[DONE]');
      const chunks = data.map((text) => JSON.parse(text));
      expect(chunks.every(({ id, model }) => id === HEAD.id && model === HEAD.model)).toBe(true);
      expect(chunks.map(({ choices }) => choices[0]?.delta)).toEqual([
        { role: 'assistant', content: null },
        { reasoning_content: 'hm' },
        { content: 'Hel' },
        { content: 'lo' },
        {},
        ...(include ? [undefined] : []),
      ]);
      expect(chunks.map(({ usage }) => usage)).toEqual(
        include ? [null, null, null, null, null, USAGE] : chunks.map(() => undefined),
      );
    }
  });

  it('is put together for a client that does not stream', async () => {
    const { app, records } = setUp(HELLO);
    const response = await post(app, CHAT, PRO);
    expect(await response.json()).toEqual({
      ...HEAD,
      object: 'chat.completion',
      choices: [
        {
          index: 0,
          message: { role: 'assistant', content: 'Hello', refusal: null, reasoning_content: 'hm' },
          logprobs: null,
          finish_reason: 'stop',
        },
      ],
      usage: USAGE,
    });
    expect(records).toMatchObject([
      {
        model: 'lamina-pro',
        servedModel: 'lamina-pro',
        tier: 'pro',
        servedBy: 'origins/a',
        attempts: 1,
        promptTokens: 11,
        completionTokens: 4,
        cachedTokens: 8,
        reasoningTokens: 1,
        isEstimated: false,
        fallbackReason: null,
        finishReasons: ['stop'],
        outcome: 'completed',
        costCny: 0.000_15,
      },
    ]);
  });

  it('calls tools, streamed and not', async () => {
    const tools = [{ type: 'function', function: { name: 'f' } }];
    const { app, origins } = setUp(TOOL_CALL);
    const answer = (await (await post(app, CHAT, { ...PRO, tools })).json()) as {
      choices: { message: object; finish_reason: string }[];
    };
    expect(answer.choices[0]?.message).toEqual({
      role: 'assistant',
      content: null,
      refusal: null,
      tool_calls: [
        { id: 'c1', type: 'function', function: { name: 'f', arguments: '{"a":1}' } },
        { id: 'c2', type: 'function', function: { name: 'g', arguments: '{}' } },
      ],
    });
    expect(answer.choices[0]?.finish_reason).toBe('tool_calls');
    expect(origins.requests[0]?.needs).toEqual(new Set(['chat', 'tools']));
    const streamed = sseData(await (await post(app, CHAT, { ...PRO, tools, stream: true })).text());
    expect(streamed.join('')).toContain('"arguments":":1}"');
    const roles = streamed.slice(0, -1).map((data) => JSON.parse(data).choices[0].delta.role);
    expect(roles).toEqual(['assistant', undefined, undefined, undefined]);
  });

  it('gives the origin the client’s fields and nothing of its own', async () => {
    const { app, origins } = setUp(HELLO);
    const messages = [
      { role: 'developer', content: 'Be brief.' },
      { role: 'user', content: [{ type: 'text', text: 'Hi' }] },
      { role: 'assistant', content: null, refusal: null, tool_calls: null, annotations: [], reasoning_content: 'x' },
    ];
    const own = {
      model: 'chatglm_pro',
      stream: true,
      stream_options: { include_usage: true },
      user: 'u',
      fallback: 'lite',
    };
    // An assistant's turn without content or calls is refused; this one has a content.
    messages[2] = { ...messages[2], content: 'Yes?' } as never;
    const passed = { temperature: 0, top_k: 5, stop: ['x'], seed: 3, tools: null, reasoning_effort: 'low' };
    const response = await post(app, CHAT, { ...own, ...passed, max_completion_tokens: 9, messages });
    await response.text();
    expect(origins.requests[0]).toMatchObject({ model: 'lamina-pro', operation: 'chat' });
    expect(origins.requests[0]?.body).toEqual({
      temperature: 0,
      top_k: 5,
      stop: ['x'],
      seed: 3,
      reasoning_effort: 'low',
      max_tokens: 9,
      messages: [
        { role: 'system', content: 'Be brief.' },
        { role: 'user', content: [{ type: 'text', text: 'Hi' }] },
        { role: 'assistant', content: 'Yes?', reasoning_content: 'x' },
      ],
    });
  });

  it('completes text with what follows it', async () => {
    const { app, origins } = setUp([
      servedByA,
      { type: 'chunk', completionTokens: 1, data: { choices: [{ index: 0, text: 'a', finish_reason: null }] } },
      { type: 'chunk', completionTokens: 2, data: { choices: [{ index: 0, text: 'b', finish_reason: 'length' }] } },
      endOf(null),
    ]);
    const body = { model: 'lamina-pro', prompt: 'x', suffix: 'y' };
    expect(await (await post(app, '/v1/completions', body)).json()).toMatchObject({
      object: 'text_completion',
      choices: [{ index: 0, text: 'ab', logprobs: null, finish_reason: 'length' }],
      usage: { completion_tokens: 2 },
    });
    expect(origins.requests[0]?.needs).toEqual(new Set(['completion', 'infill']));
    expect(origins.requests[0]?.body).toEqual({ prompt: 'x', suffix: 'y', max_tokens: 16 });
  });
});

describe('an origin that fails', () => {
  const CUT: readonly OriginStep[] = [servedByA, chatChunk({ content: 'Hel' }, 2), { type: 'fail', code: 'cut' }];

  it('in the middle ends a stream with the error and without [DONE], counted to the token', async () => {
    const { app, records } = setUp(CUT);
    const data = sseData(await (await post(app, CHAT, { ...PRO, stream: true, fallback: 'lite' })).text());
    expect(data).toHaveLength(2);
    expect(JSON.parse(data[1] ?? '')).toMatchObject({ error: { code: 'origin_cut', type: 'server_error' } });
    expect(records).toMatchObject([
      { outcome: 'failed', errorCode: 'origin_cut', completionTokens: 2, isEstimated: true },
    ]);
  });

  it('in the middle fails an answer that is not streamed', async () => {
    const { app, records } = setUp(CUT);
    const response = await post(app, CHAT, PRO);
    expect(response.status).toBe(502);
    expect(((await response.json()) as ErrorBody).error.code).toBe('origin_cut');
    expect(records).toMatchObject([{ outcome: 'failed', completionTokens: 2 }]);
  });

  it.each([
    ['overloaded', 429, 'rate_limit_error'],
    ['rejected', 400, 'invalid_request_error'],
    ['timeout', 504, 'server_error'],
    ['bad_status', 502, 'server_error'],
  ] as const)('before the first token with %s has its own status', async (code, status, type) => {
    const { app, records } = setUp([{ type: 'fail', code }]);
    const response = await post(app, CHAT, { ...PRO, stream: true });
    expect(response.status).toBe(status);
    expect(((await response.json()) as ErrorBody).error.type).toBe(type);
    expect(records).toMatchObject([{ outcome: 'failed', servedBy: null, attempts: 2, costCny: 0 }]);
  });
});

describe('a client that leaves', () => {
  it.each([true, false])('aborts the origin at the next heartbeat while it is silent (stream: %s)', async (stream) => {
    const { app, origins, clock, records } = setUp([servedByA, { type: 'wait' }]);
    const pending = Promise.resolve(post(app, CHAT, { ...PRO, stream }));
    await until(() => origins.requests.length > 0, 'the call to the origin');
    await clock.wind(HEARTBEAT_MS);
    const reader = (await pending).body?.getReader();
    const beat = reader?.read();
    await clock.wind(HEARTBEAT_MS);
    expect(new TextDecoder().decode((await beat)?.value)).toBe(stream ? ': keep-alive\n\n' : ' ');
    await reader?.cancel();
    await until(() => origins.numAborted === 1, 'the origin to be aborted');
    expect(records).toMatchObject([{ outcome: 'client_gone', completionTokens: 0, costCny: 0 }]);
  });
});

describe('endpoints of one body', () => {
  const ROWS: [string, object, string, Readonly<Record<string, unknown>>][] = [
    ['/v1/embeddings', { input: ['a', 'b'], encoding_format: 'float' }, 'embeddings', { data: [] }],
    ['/v1/embeddings', { input: [1, 2, 3] }, 'embeddings', { data: [] }],
    ['/v1/rerank', { query: 'q', documents: ['a'], top_n: 1 }, 'rerank', { results: [] }],
    ['/v1/images/generations', { prompt: 'a cat', size: '512x512' }, 'image_generation', { data: [] }],
  ];

  it.each(ROWS)('%s takes %j to an origin that can do it', async (route, body, capability, callResult) => {
    const { app, origins, records } = setUp([], { callResult });
    const response = await post(app, route, { model: 'lamina-pro', user: 'u', ...body });
    expect(await response.json()).toEqual(callResult);
    expect(response.headers.get('x-lamina-served-by')).toBe('origins/a');
    expect(origins.requests[0]?.needs).toEqual(new Set([capability]));
    expect(origins.requests[0]?.body).toMatchObject(body);
    expect(Object.keys(origins.requests[0]?.body ?? {})).not.toContain('user');
    expect(records).toMatchObject([{ outcome: 'completed', promptTokens: 7, costCny: 0.000_07 }]);
  });

  it.each(ROWS)('%s refuses %j by name where nobody can', async (route, body, capability) => {
    for (const model of ['lamina-pro', 'lamina-test']) {
      const { app, records } = setUp([], { capabilities: ['chat'] });
      const response = await post(app, route, { model, ...body });
      expect(response.status).toBe(400);
      expect(((await response.json()) as ErrorBody).error).toMatchObject({
        message: expect.stringContaining(`'${capability}'`),
        code: 'unsupported_model',
        param: 'model',
      });
      expect(records).toMatchObject([{ outcome: 'refused', servedBy: null, costCny: 0 }]);
    }
  });

  it('fall back from lite when that is allowed, and say so', async () => {
    const { app, records } = setUp([], { callResult: { data: [] } });
    const response = await post(app, '/v1/embeddings', { model: 'lamina-test', input: 'a', fallback: 'pro' });
    expect(response.status).toBe(200);
    expect(response.headers.get('x-lamina-fallback')).toBe('capability:embeddings');
    expect(await response.json()).toEqual({ data: [] });
    expect(records).toMatchObject([
      { servedModel: 'lamina-pro', tier: 'pro', fallbackReason: 'capability:embeddings' },
    ]);
  });

  it('pass on the status of an origin that fails', async () => {
    const { app, records } = setUp([], { callError: 'bad_status' });
    const response = await post(app, '/v1/embeddings', { model: 'lamina-pro', input: 'a' });
    expect(response.status).toBe(502);
    expect(records).toMatchObject([{ outcome: 'failed', errorCode: 'origin_bad_status', attempts: 2, costCny: 0 }]);
  });
});

describe('without origins', () => {
  const app = () =>
    createGateway({
      ...gatewayDeps(folder, new ScriptedHead(), [], []),
      catalog: parseCatalog(TEST_CATALOG),
    });

  it.each([
    [CHAT, PRO],
    [CHAT, { ...PRO, stream: true }],
    ['/v1/completions', { model: 'chatglm_pro', prompt: 'a' }],
    ['/v1/embeddings', { model: 'lamina-pro', input: 'a' }],
  ])('%s says what to configure', async (route, body) => {
    const response = await post(app(), route, body);
    expect(response.status).toBe(503);
    expect(response.headers.get('x-should-retry')).toBe('false');
    expect(((await response.json()) as ErrorBody).error).toMatchObject({
      code: 'backend_not_configured',
      message: expect.stringMatching(/lamina dev --origin.*ORIGINS/s),
    });
  });

  it('lists the models with what they are and whether they are there', async () => {
    const headers = { authorization: 'Bearer sk-local' };
    const { data } = (await (await app().request('/v1/models', { headers })).json()) as { data: object[] };
    expect(data).toMatchObject([
      { id: 'lamina-test', tier: 'lite', backend: 'ring', available: true, capabilities: ['chat', 'completion'] },
      { id: 'lamina-pro', tier: 'pro', backend: 'origins', available: false, capabilities: [], context_length: null },
    ]);
    const pro = await setUp([], { capabilities: ['chat', 'tools'] }).app.request('/v1/models/chatglm_pro', { headers });
    expect(await pro.json()).toMatchObject({
      id: 'lamina-pro',
      available: true,
      context_length: 32_768,
      capabilities: ['chat', 'tools'],
      price: { currency: 'CNY', per_1000_tokens: 0.01 },
    });
  });
});
