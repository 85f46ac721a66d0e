/** The official client against the gateway, over HTTP and the real engine. */
import OpenAI, { AuthenticationError, BadRequestError, NotFoundError } from 'openai';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { until } from './support/http.ts';
import { serve, type TestServer } from './support/node-server.ts';
import { startRealGateway, TEST_MODEL, type TestGateway } from './support/real-gateway.ts';

let gateway: TestGateway;
let server: TestServer;
let client: OpenAI;
beforeAll(async () => {
  gateway = await startRealGateway();
  server = await serve((request) => gateway.app.fetch(request));
  client = new OpenAI({ baseURL: `${server.url}/v1`, apiKey: 'sk-local', maxRetries: 0 });
});
afterAll(async () => {
  await server.close();
  await gateway.close();
});

const CHAT = { model: TEST_MODEL, messages: [{ role: 'user' as const, content: 'Hello' }], max_tokens: 16, seed: 1 };

describe('the openai client', () => {
  it('lists models', async () => {
    const models = await client.models.list();
    expect(models.data.map((model) => model.id)).toEqual([TEST_MODEL]);
    expect((await client.models.retrieve('tiny')).id).toBe(TEST_MODEL);
  });

  it('streams what it answers without streaming', async () => {
    const answer = await client.chat.completions.create({ ...CHAT, logprobs: true, top_logprobs: 2 });
    const stream = await client.chat.completions.create({
      ...CHAT,
      stream: true,
      stream_options: { include_usage: true },
    });
    let text = '';
    let usage: OpenAI.CompletionUsage | null | undefined = null;
    for await (const chunk of stream) {
      text += chunk.choices[0]?.delta.content ?? '';
      usage = chunk.usage;
    }
    expect(text).toBe(answer.choices[0]?.message.content);
    expect(usage).toEqual({ ...answer.usage, prompt_tokens_details: expect.anything() });
    expect(answer.choices[0]?.logprobs?.content).toHaveLength(16);
    expect(answer._request_id).toMatch(/^id\d+$/);
  });

  it('completes', async () => {
    const answer = await client.completions.create({
      model: TEST_MODEL,
      prompt: 'abc',
      max_tokens: 0,
      echo: true,
      logprobs: 1,
    });
    expect(answer.choices[0]?.text).toBe('abc');
    expect(answer.choices[0]?.logprobs?.token_logprobs).toHaveLength(3);
  });

  it('stops the sequence when it aborts a stream', async () => {
    // Long enough not to end by itself before the abort arrives, for a model of 512 tokens.
    const stream = await client.chat.completions.create({ ...CHAT, max_tokens: 450, stream: true });
    for await (const _chunk of stream) {
      stream.controller.abort();
      break;
    }
    await until(async () => (await gateway.head.stats()).numRunning === 0, 'the sequence to leave the scheduler');
    await until(() => gateway.records.at(-1)?.outcome === 'client_gone', 'the record of the aborted request');
    expect(gateway.records.at(-1)?.completionTokens).toBeLessThan(450);
  });

  it('answers 8 requests at once as it answers them one by one', async () => {
    const seeds = [1, 2, 3, 4, 5, 6, 7, 8];
    const ask = async (seed: number): Promise<string | null | undefined> =>
      (await client.chat.completions.create({ ...CHAT, seed })).choices[0]?.message.content;
    const together = await Promise.all(seeds.map(ask));
    const alone: (string | null | undefined)[] = [];
    for (const seed of seeds) {
      alone.push(await ask(seed));
    }
    expect(together).toEqual(alone);
    expect(new Set(together).size).toBeGreaterThan(1);
  });

  it('raises its own exceptions', async () => {
    const wrongKey = new OpenAI({ baseURL: `${server.url}/v1`, apiKey: 'sk-wrong', maxRetries: 0 });
    await expect(wrongKey.models.list()).rejects.toThrow(AuthenticationError);
    await expect(client.chat.completions.create({ ...CHAT, model: 'none' })).rejects.toThrow(NotFoundError);
    await expect(client.chat.completions.create({ ...CHAT, temperature: 9 })).rejects.toMatchObject({
      constructor: BadRequestError,
      param: 'temperature',
      code: 'invalid_value',
      type: 'invalid_request_error',
    });
  });
});
