/** Every mistake in a request gets its own status and names the field. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createGateway, type GatewayDeps } from '../gateway.ts';
import { DEFAULT_GATEWAY_LIMITS as LIMITS } from '../limits.ts';
import { expectError, times, type BadInputRow as Row } from './support/bad-input.ts';
import { post } from './support/http.ts';
import { gatewayDeps, TEST_MODEL, tinyModelFolder } from './support/real-gateway.ts';
import { finishEvent, ScriptedHead, tokenEvent } from '../../ops/testing/scripted-head.ts';

let folder: string;
let remove: () => Promise<void>;
beforeAll(async () => {
  ({ folder, remove } = await tinyModelFolder());
});
afterAll(() => remove());

const CHAT = '/v1/chat/completions';
const COMPLETIONS = '/v1/completions';
const user = (content: unknown) => ({ model: TEST_MODEL, messages: [{ role: 'user', content }] });
const chat = (fields: object) => ({ ...user('Hi'), ...fields });
const completion = (fields: object) => ({ model: TEST_MODEL, prompt: 'Hi', ...fields });

function newGateway(overrides: Partial<GatewayDeps> = {}) {
  const head = new ScriptedHead([tokenEvent(40), finishEvent]);
  const errors: unknown[] = [];
  const app = createGateway({ ...gatewayDeps(folder, head, [], errors), ...overrides });
  return { app, head, errors };
}

const ROWS: readonly Row[] = [
  // Not a JSON object.
  [CHAT, '', 400, null, 'invalid_json'],
  [CHAT, '{"model": ', 400, null, 'invalid_json'],
  [CHAT, '{"temperature": NaN}', 400, null, 'invalid_json'],
  [CHAT, '['.repeat(100_000), 400, null, 'invalid_json'],
  [CHAT, '['.repeat(100_000) + ']'.repeat(100_000), 400, null, null],
  [CHAT, 'null', 400, null, null],
  [CHAT, '"text"', 400, null, null],
  // Fields that are missing or of the wrong type.
  [CHAT, {}, 400, 'model', 'invalid_value'],
  [CHAT, { model: TEST_MODEL }, 400, 'messages', 'invalid_value'],
  [CHAT, { ...user('Hi'), model: 7 }, 400, 'model', 'invalid_value'],
  [CHAT, { ...user('Hi'), model: 'gpt-nothing' }, 404, 'model', 'model_not_found'],
  [CHAT, chat({ messages: [] }), 400, 'messages', 'invalid_value'],
  [CHAT, chat({ messages: 'Hi' }), 400, 'messages', 'invalid_value'],
  [
    CHAT,
    chat({ messages: times(LIMITS.messagesMax + 1, { role: 'user', content: '' }) }),
    400,
    'messages',
    'invalid_value',
  ],
  [CHAT, chat({ messages: [{ role: 'user', content: 'a' }, 5] }), 400, 'messages[1]', 'invalid_value'],
  [CHAT, chat({ messages: [{ content: 'a' }] }), 400, 'messages[0].role', 'invalid_value'],
  [CHAT, chat({ messages: [{ role: 'wizard', content: 'a' }] }), 400, 'messages[0].role', 'invalid_value'],
  [CHAT, chat({ messages: [{ role: 'tool', content: 'a' }] }), 400, 'messages[0].role', 'invalid_value'],
  [CHAT, chat({ messages: [{ role: 'user' }] }), 400, 'messages[0].content', 'invalid_value'],
  [CHAT, user(null), 400, 'messages[0].content', 'invalid_value'],
  [CHAT, user([]), 400, 'messages[0].content', 'invalid_value'],
  [CHAT, user([{ type: 'image_url', image_url: {} }]), 400, 'messages[0].content[0].type', 'invalid_value'],
  [CHAT, user([{ type: 'text', text: 1 }]), 400, 'messages[0].content[0].text', 'invalid_value'],
  [
    CHAT,
    chat({ messages: [{ role: 'user', content: 'a', name: 'Bo' }] }),
    400,
    'messages[0].name',
    'unknown_parameter',
  ],
  [
    CHAT,
    chat({ messages: [{ role: 'assistant', content: 'a', tool_calls: [] }] }),
    400,
    'messages[0].tool_calls',
    'unknown_parameter',
  ],
  [
    CHAT,
    `{"model":"${TEST_MODEL}","messages":[{"role":"user","content":"\\ud83d"}]}`,
    400,
    'messages[0].content',
    'invalid_value',
  ],
  [COMPLETIONS, `{"model":"${TEST_MODEL}","prompt":["ok","\\udc00"]}`, 400, 'prompt[1]', 'invalid_value'],
  [CHAT, chat({ stop: ['a\ud800'] }), 400, 'stop[0]', 'invalid_value'],
  // Ranges.
  [
    CHAT,
    `{"model":"${TEST_MODEL}","messages":[{"role":"user","content":"a"}],"temperature":1e999}`,
    400,
    'temperature',
    'invalid_value',
  ],
  [CHAT, chat({ prompt_cache_key: 'x'.repeat(65) }), 400, 'prompt_cache_key', 'invalid_value'],
  [CHAT, chat({ prompt_cache_key: '\ud800' }), 400, 'prompt_cache_key', 'invalid_value'],
  [CHAT, chat({ prompt_cache_key: 7 }), 400, 'prompt_cache_key', 'invalid_value'],
  [COMPLETIONS, completion({ prompt_cache_key: ['a'] }), 400, 'prompt_cache_key', 'invalid_value'],
  [CHAT, chat({ temperature: 2.01 }), 400, 'temperature', 'invalid_value'],
  [CHAT, chat({ temperature: '1' }), 400, 'temperature', 'invalid_value'],
  [CHAT, chat({ top_p: -0.1 }), 400, 'top_p', 'invalid_value'],
  [CHAT, chat({ presence_penalty: 2.1 }), 400, 'presence_penalty', 'invalid_value'],
  [CHAT, chat({ frequency_penalty: -2.1 }), 400, 'frequency_penalty', 'invalid_value'],
  [CHAT, chat({ top_k: -2 }), 400, 'top_k', 'invalid_value'],
  [CHAT, chat({ min_p: 1.1 }), 400, 'min_p', 'invalid_value'],
  [CHAT, chat({ repetition_penalty: 0 }), 400, 'repetition_penalty', 'invalid_value'],
  [CHAT, chat({ seed: 2 ** 53 }), 400, 'seed', 'invalid_value'],
  [CHAT, chat({ seed: 1.5 }), 400, 'seed', 'invalid_value'],
  [CHAT, chat({ n: 0 }), 400, 'n', 'invalid_value'],
  [CHAT, chat({ n: LIMITS.choicesMax + 1 }), 400, 'n', 'invalid_value'],
  [CHAT, chat({ max_tokens: 0 }), 400, 'max_tokens', 'invalid_value'],
  [CHAT, chat({ max_tokens: 1.5 }), 400, 'max_tokens', 'invalid_value'],
  [CHAT, chat({ max_tokens: 1, max_completion_tokens: 1 }), 400, 'max_tokens', 'invalid_value'],
  [CHAT, chat({ max_completion_tokens: 1000 }), 400, 'max_completion_tokens', 'context_length_exceeded'],
  [CHAT, chat({ stop: '' }), 400, 'stop', 'invalid_value'],
  [CHAT, chat({ stop: 5 }), 400, 'stop', 'invalid_value'],
  [CHAT, chat({ stop: times(LIMITS.stopsMax + 1, 'a') }), 400, 'stop', 'invalid_value'],
  [CHAT, chat({ stop: ['a', 'b'.repeat(LIMITS.stopLengthMax + 1)] }), 400, 'stop[1]', 'invalid_value'],
  [CHAT, chat({ logit_bias: [] }), 400, 'logit_bias', 'invalid_value'],
  [CHAT, chat({ logit_bias: { x: 1 } }), 400, 'logit_bias.x', 'invalid_value'],
  [CHAT, chat({ logit_bias: { '5': 101 } }), 400, 'logit_bias.5', 'invalid_value'],
  [CHAT, chat({ logit_bias: { '300': 1 } }), 400, 'logit_bias.300', 'invalid_value'],
  [
    CHAT,
    chat({ logit_bias: Object.fromEntries(times(LIMITS.logitBiasMax + 1, 0).map((_, id) => [id, 0])) }),
    400,
    'logit_bias',
    'invalid_value',
  ],
  [CHAT, chat({ top_logprobs: 2 }), 400, 'top_logprobs', 'invalid_value'],
  [CHAT, chat({ logprobs: true, top_logprobs: LIMITS.chatTopLogprobsMax + 1 }), 400, 'top_logprobs', 'invalid_value'],
  [CHAT, chat({ stream: 'true' }), 400, 'stream', 'invalid_value'],
  [CHAT, chat({ stream_options: { include_usage: true } }), 400, 'stream_options', 'invalid_value'],
  [CHAT, chat({ stream: true, stream_options: { chunks: 1 } }), 400, 'stream_options.chunks', 'unknown_parameter'],
  // What is not supported is refused by name.
  [CHAT, chat({ tools: [{ type: 'function' }] }), 400, 'tools', 'unsupported_parameter'],
  [CHAT, chat({ tool_choice: 'auto' }), 400, 'tool_choice', 'unsupported_parameter'],
  [CHAT, chat({ response_format: { type: 'json_object' } }), 400, 'response_format', 'unsupported_parameter'],
  [CHAT, chat({ audio: {} }), 400, 'audio', 'unsupported_parameter'],
  [CHAT, chat({ modalities: ['text', 'audio'] }), 400, 'modalities', 'unsupported_parameter'],
  [CHAT, chat({ store: true }), 400, 'store', 'unsupported_parameter'],
  [CHAT, chat({ temprature: 1 }), 400, 'temprature', 'unknown_parameter'],
  [
    CHAT,
    `{"model":"${TEST_MODEL}","messages":[{"role":"user","content":"a"}],"__proto__":{}}`,
    400,
    '__proto__',
    'unknown_parameter',
  ],
  [COMPLETIONS, completion({ best_of: 2 }), 400, 'best_of', 'unsupported_parameter'],
  [COMPLETIONS, completion({ suffix: 'x' }), 400, 'suffix', 'unsupported_parameter'],
  [COMPLETIONS, completion({ messages: [] }), 400, 'messages', 'unknown_parameter'],
  // Prompts.
  [COMPLETIONS, { model: TEST_MODEL }, 400, 'prompt', 'invalid_value'],
  [COMPLETIONS, completion({ prompt: '' }), 400, 'prompt', 'invalid_value'],
  [COMPLETIONS, completion({ prompt: [] }), 400, 'prompt', 'invalid_value'],
  [COMPLETIONS, completion({ prompt: ['a', ''] }), 400, 'prompt[1]', 'invalid_value'],
  [COMPLETIONS, completion({ prompt: {} }), 400, 'prompt', 'invalid_value'],
  [COMPLETIONS, completion({ prompt: ['a', 5] }), 400, 'prompt[1]', 'invalid_value'],
  [COMPLETIONS, completion({ prompt: [5, 'a'] }), 400, 'prompt[1]', 'invalid_value'],
  [COMPLETIONS, completion({ prompt: [5, -1] }), 400, 'prompt[1]', 'invalid_value'],
  [COMPLETIONS, completion({ prompt: [[5], [5, 1.5]] }), 400, 'prompt[1][1]', 'invalid_value'],
  [COMPLETIONS, completion({ prompt: [[5, 300]] }), 400, 'prompt[0][1]', 'invalid_value'],
  [COMPLETIONS, completion({ prompt: times(LIMITS.promptsMax + 1, 'a') }), 400, 'prompt', 'invalid_value'],
  [COMPLETIONS, completion({ prompt: times(513, 40) }), 400, 'prompt', 'context_length_exceeded'],
  [COMPLETIONS, completion({ prompt: ['a', times(512, 40)] }), 400, 'prompt[1]', 'context_length_exceeded'],
  [COMPLETIONS, completion({ prompt: 'z'.repeat(600) }), 400, 'prompt', 'context_length_exceeded'],
  [COMPLETIONS, completion({ prompt: 'z'.repeat(500_000) }), 400, 'prompt', 'context_length_exceeded'],
  [COMPLETIONS, completion({ max_tokens: 512 }), 400, 'max_tokens', 'context_length_exceeded'],
  [COMPLETIONS, completion({ logprobs: LIMITS.completionLogprobsMax + 1 }), 400, 'logprobs', 'invalid_value'],
  [COMPLETIONS, completion({ echo: 1 }), 400, 'echo', 'invalid_value'],
];

describe('a wrong body', () => {
  it.each(ROWS.map((row) => [JSON.stringify(row[1]).slice(0, 80), row] as const))('%s', async (_name, row) => {
    const [route, body, status, param, code] = row;
    const { app, head, errors } = newGateway();
    await expectError(await post(app, route, body), status, param, code);
    expect(head.requests).toHaveLength(0);
    expect(errors).toEqual([]);
  });

  it('tells both numbers of a prompt that is too long', async () => {
    const { app } = newGateway();
    const response = await post(app, CHAT, user('z'.repeat(600)));
    const message = await expectError(response, 400, 'messages', 'context_length_exceeded');
    expect(message).toMatch(/context is 512 tokens, but the prompt has 6\d\d tokens/);
  });
});

describe('the largest that is allowed', () => {
  const rows: [string, string, object][] = [
    ['n', CHAT, chat({ n: LIMITS.choicesMax, max_tokens: 1 })],
    ['stop', CHAT, chat({ stop: times(LIMITS.stopsMax, 'b'.repeat(LIMITS.stopLengthMax)) })],
    ['seed', CHAT, chat({ seed: 2 ** 52 })],
    ['top_logprobs', CHAT, chat({ logprobs: true, top_logprobs: LIMITS.chatTopLogprobsMax })],
    ['prompt_cache_key', CHAT, chat({ prompt_cache_key: 'x'.repeat(64) })],
    ['prompt_cache_key', COMPLETIONS, completion({ prompt_cache_key: 'x'.repeat(64) })],
    ['logit_bias', CHAT, chat({ logit_bias: { '299': -100, '0': 100 } })],
    [
      'ranges',
      CHAT,
      chat({ temperature: 2, top_p: 0, presence_penalty: -2, frequency_penalty: 2, top_k: -1, min_p: 1 }),
    ],
    [
      'neutral values',
      CHAT,
      chat({ tools: null, tool_choice: 'none', store: false, modalities: ['text'], stop: null }),
    ],
    ['a whole context', COMPLETIONS, completion({ prompt: times(512, 40), max_tokens: 0 })],
    ['prompts', COMPLETIONS, completion({ prompt: times(LIMITS.promptsMax, 'a') })],
    ['logprobs', COMPLETIONS, completion({ logprobs: LIMITS.completionLogprobsMax, best_of: 1, suffix: null })],
  ];
  it.each(rows)('%s', async (_name, route, body) => {
    const response = await post(newGateway().app, route, body);
    expect(await response.text()).toContain('"choices"');
    expect(response.status).toBe(200);
  });

  it('lets 2048 messages through to the context check', async () => {
    const messages = times(LIMITS.messagesMax, { role: 'user', content: '' });
    const response = await post(newGateway().app, CHAT, chat({ messages }));
    expect(await expectError(response, 400, 'messages', 'context_length_exceeded')).toContain('512 tokens');
  });
});

describe('a body that is too large', () => {
  const padded = (bytes: number): string => JSON.stringify(chat({})).padEnd(bytes, ' ');

  it('is refused from one byte past the limit', async () => {
    const { app } = newGateway();
    expect((await post(app, CHAT, padded(LIMITS.bodyBytesMax))).status).toBe(200);
    await expectError(await post(app, CHAT, padded(LIMITS.bodyBytesMax + 1)), 413, null, 'body_too_large');
  });

  it('is not read to its end', async () => {
    let numPulled = 0;
    let isCancelled = false;
    const chunk = new Uint8Array(64 * 1024).fill(0x20);
    const body = new ReadableStream<Uint8Array>({
      pull(controller) {
        numPulled++;
        controller.enqueue(chunk);
      },
      cancel() {
        isCancelled = true;
      },
    });
    const init: RequestInit & { duplex: string } = {
      method: 'POST',
      headers: { 'content-type': 'application/json', authorization: 'Bearer sk-local' },
      body,
      duplex: 'half',
    };
    await expectError(await newGateway().app.request(CHAT, init), 413, null, 'body_too_large');
    expect(isCancelled).toBe(true);
    expect(numPulled).toBeLessThan(LIMITS.bodyBytesMax / chunk.length + 5);
  });

  it('is refused by its announced length alone', async () => {
    const response = await post(newGateway().app, CHAT, '{}', { 'content-length': '10000000' });
    expect(await expectError(response, 413, null, 'body_too_large')).toContain(`${LIMITS.bodyBytesMax} bytes`);
  });
});

describe('around the body', () => {
  it('refuses bytes that are not UTF-8', async () => {
    const response = await newGateway().app.request(CHAT, {
      method: 'POST',
      headers: { 'content-type': 'application/json', authorization: 'Bearer sk-local' },
      body: new Uint8Array([0x7b, 0x22, 0xff, 0x22, 0x7d]),
    });
    expect(await expectError(response, 400, null, 'invalid_json')).toContain('UTF-8');
  });

  it.each(['text/plain', 'application/x-www-form-urlencoded', 'application/jsonp'])('refuses %s', async (type) => {
    const response = await post(newGateway().app, CHAT, chat({}), { 'content-type': type });
    expect(await expectError(response, 415, null, 'invalid_content_type')).toContain('application/json');
  });

  it('takes JSON with a charset', async () => {
    const headers = { 'content-type': 'Application/JSON; charset=utf-8' };
    expect((await post(newGateway().app, CHAT, chat({}), headers)).status).toBe(200);
  });

  it.each([
    [{ authorization: '' }, 'missing_api_key'],
    [{ authorization: 'Basic c2stbG9jYWw=' }, 'missing_api_key'],
    [{ authorization: `Bearer ${'x'.repeat(1000)}` }, 'missing_api_key'],
    [{ authorization: 'Bearer sk-wrong' }, 'invalid_api_key'],
  ])('refuses the key of %j', async (headers, code) => {
    const response = await post(newGateway().app, CHAT, chat({}), headers);
    expect(response.headers.get('www-authenticate')).toBe('Bearer');
    await expectError(response, 401, null, code);
  });

  it('knows no other paths and methods', async () => {
    const { app } = newGateway();
    const headers = { authorization: 'Bearer sk-local' };
    await expectError(await app.request('/v1/nothing', { headers }), 404, null, 'unknown_url');
    await expectError(await app.request('/models/tiny/chat.json'), 404, null, 'unknown_url');
    await expectError(await app.request('/v1/models/gpt-nothing', { headers }), 404, 'model', 'model_not_found');
    for (const [path, method, allow] of [
      [CHAT, 'GET', 'POST'],
      ['/v1/models', 'DELETE', 'GET'],
      ['/healthz', 'POST', 'GET'],
      ['/', 'POST', 'GET'],
    ] as const) {
      const response = await app.request(path, { method, headers });
      expect(response.headers.get('allow')).toBe(allow);
      await expectError(response, 405, null, 'method_not_allowed');
    }
  });

  it('keeps the message of an unexpected failure to itself, and tells the operator', async () => {
    const failure = new Error('secret detail');
    const { app, errors } = newGateway({ textModel: () => Promise.reject(failure) });
    const message = await expectError(await post(app, CHAT, chat({})), 500, null, 'internal');
    expect(message).not.toContain('secret');
    expect(errors).toEqual([failure]);
  });
});
