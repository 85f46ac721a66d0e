/** What `usage.prompt_tokens_details.cached_tokens` says, over the real engine: in every form of answer, and per tenant. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { PAGE_SIZE_TOKENS } from '../../wasm/host/stage-runtime.ts';
import { createGateway } from '../gateway.ts';
import { post, sseData } from './support/http.ts';
import { LocalPrefixes } from './support/local-prefixes.ts';
import { LocalRuns } from './support/local-runs.ts';
import { startRealGateway, TEST_MODEL, type TestGateway } from './support/real-gateway.ts';

let real: TestGateway;
let app: ReturnType<typeof createGateway>;
beforeAll(async () => {
  real = await startRealGateway();
  const prefixes = new LocalPrefixes(real.deps.epochMs);
  app = createGateway(new LocalRuns({ ...real.deps, prefixes: prefixes.of }).deps);
});
afterAll(() => real.close());

interface Usage {
  readonly prompt_tokens: number;
  readonly prompt_tokens_details: { readonly cached_tokens: number };
}

/** A text that no other test has sent. */
let numTexts = 0;
const freshText = (): string => `${++numTexts} times you sell shoes, boots and sandals. `.repeat(3);

const usageOf = async (response: Response | Promise<Response>): Promise<Usage> =>
  ((await (await response).json()) as { usage: Usage }).usage;

async function streamedUsage(response: Response | Promise<Response>): Promise<Usage> {
  const events = (await (await response).text())
    .split('\n\n')
    .flatMap((event) => sseData(event.replace(/^id: .*\n/, '')));
  return JSON.parse(events.at(-2) ?? '').usage as Usage;
}

/** As much of a prompt as is there after it was asked once: all whole pages, but one token is always left to compute. */
const shareable = (numTokens: number): number => Math.floor((numTokens - 1) / PAGE_SIZE_TOKENS) * PAGE_SIZE_TOKENS;

const chatOf = (content: string, more: object = {}) => ({
  model: TEST_MODEL,
  messages: [{ role: 'user', content }],
  max_tokens: 2,
  ...more,
});

const completionOf = (prompt: string, more: object = {}) => ({ model: TEST_MODEL, prompt, max_tokens: 2, ...more });

const STREAM = { stream: true, stream_options: { include_usage: true } };

describe('cached_tokens', () => {
  it.each<[string, string, (text: string) => object, typeof usageOf]>([
    ['a chat', '/v1/chat/completions', (text) => chatOf(text), usageOf],
    ['a chat that streams', '/v1/chat/completions', (text) => chatOf(text, STREAM), streamedUsage],
    ['a completion', '/v1/completions', (text) => completionOf(text), usageOf],
    ['a completion that streams', '/v1/completions', (text) => completionOf(text, STREAM), streamedUsage],
  ])('is 0 at first, and all whole pages the second time: %s', async (_name, route, body, read) => {
    const text = freshText();
    const first = await read(post(app, route, body(text)));
    expect(first.prompt_tokens_details.cached_tokens).toBeLessThan(PAGE_SIZE_TOKENS);
    const second = await read(post(app, route, body(text)));
    expect(second.prompt_tokens_details.cached_tokens).toBeGreaterThanOrEqual(shareable(second.prompt_tokens));
    expect(second.prompt_tokens_details.cached_tokens).toBeLessThan(second.prompt_tokens);
  });

  it('is told by runs, in their answer and in their state', async () => {
    const text = freshText();
    await usageOf(post(app, '/v1/chat/completions', chatOf(text)));
    const response = await post(app, '/v1/chat/completions', chatOf(text), { 'idempotency-key': text });
    const { id, usage } = (await response.json()) as { id: string; usage: Usage };
    const { cached_tokens: cachedTokens } = usage.prompt_tokens_details;
    expect(cachedTokens).toBeGreaterThanOrEqual(shareable(usage.prompt_tokens));
    const state = await app.request(`/v1/responses/${id}`, { headers: { authorization: 'Bearer sk-local' } });
    expect(await state.json()).toMatchObject({ usage: { input_tokens_details: { cached_tokens: cachedTokens } } });
  });

  it('is never owed to another tenant', async () => {
    const text = freshText();
    await usageOf(post(app, '/v1/chat/completions', chatOf(text)));
    const other = { authorization: 'Bearer sk-second-key' };
    const foreign = await usageOf(post(app, '/v1/chat/completions', chatOf(text), other));
    expect(foreign.prompt_tokens_details.cached_tokens).toBe(0);
    const own = await usageOf(post(app, '/v1/chat/completions', chatOf(text), other));
    expect(own.prompt_tokens_details.cached_tokens).toBeGreaterThanOrEqual(shareable(own.prompt_tokens));
  });

  it('is 0 again for a tenant that was deleted', async () => {
    const text = freshText();
    await usageOf(post(app, '/v1/chat/completions', chatOf(text)));
    const headers = { authorization: 'Bearer sk-local' };
    expect((await app.request('/v1/tenant', { method: 'DELETE', headers })).status).toBe(200);
    const usage = await usageOf(post(app, '/v1/chat/completions', chatOf(text)));
    expect(usage.prompt_tokens_details.cached_tokens).toBe(0);
  });
});

describe('a prefix that is warmed', () => {
  it.each<[string, (text: string) => object, (text: string) => object, string]>([
    [
      'for chats',
      (text) => ({ messages: [{ role: 'system', content: text }] }),
      (text) =>
        chatOf('', {
          messages: [
            { role: 'system', content: text },
            { role: 'user', content: 'Boots?' },
          ],
        }),
      '/v1/chat/completions',
    ],
    ['for completions', (prompt) => ({ prompt }), (prompt) => completionOf(`${prompt} Boots?`), '/v1/completions'],
  ])('is there for the first request that begins with it: %s', async (_name, prefix, request, route) => {
    const text = freshText();
    const warmed = await post(app, '/v1/prefixes', { model: TEST_MODEL, ...prefix(text) });
    const { num_tokens: numTokens, cached_tokens: cachedBefore } = (await warmed.json()) as Record<string, number>;
    expect(cachedBefore).toBeLessThan(PAGE_SIZE_TOKENS);
    const { cached_tokens: cachedTokens } = (await usageOf(post(app, route, request(text)))).prompt_tokens_details;
    const numShared = Math.floor((numTokens ?? 0) / PAGE_SIZE_TOKENS) * PAGE_SIZE_TOKENS;
    expect(numShared).toBeGreaterThan(4 * PAGE_SIZE_TOKENS);
    expect(cachedTokens).toBeGreaterThanOrEqual(numShared);
  });
});
