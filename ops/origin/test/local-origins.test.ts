import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { silentProgress } from '../../support/progress.ts';
import { attachLocalOrigins } from '../local-origins.ts';

/** Lists of models as the engines write them, by the key that is asked with. */
const LISTS: Readonly<Record<string, object>> = {
  vllm: {
    data: [
      { id: 'zai-org/GLM-4-9B-0414', owned_by: 'vllm', max_model_len: 32768 },
      { id: 'lora', owned_by: 'vllm' },
    ],
  },
  llama: {
    data: [
      { id: 'tiny', owned_by: 'llamacpp', meta: { n_ctx: 512 }, architecture: { input_modalities: ['text', 'image'] } },
    ],
  },
  other: { data: [{ id: 'glm-z1', owned_by: 'somebody' }] },
  none: { data: [] },
  html: '<html>' as unknown as object,
};

let server: Server;
let url: string;

beforeAll(async () => {
  server = createServer((request, response) => {
    const list = LISTS[request.headers.authorization?.slice('Bearer '.length) ?? ''];
    const body = request.url === '/props' ? { total_slots: 3 } : list;
    response.writeHead(list === undefined ? 401 : 200).end(JSON.stringify(body ?? {}));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});
afterAll(() => new Promise((resolve) => server.close(resolve)));

describe('attachLocalOrigins', () => {
  it('serves the first model of each origin as the pro model, with what its engine is known to do', async () => {
    const flags = { origin: [`${url}/v1`, url, `${url}/`], originKey: ['vllm', 'llama', 'other'] };
    const { origins, secrets } = await attachLocalOrigins(flags, silentProgress);
    expect(secrets).toEqual({ ORIGIN_1_KEY: 'vllm', ORIGIN_2_KEY: 'llama', ORIGIN_3_KEY: 'other' });
    expect(origins).toMatchObject([
      { id: 'origin-1', url, engine: 'vllm', credentials: { apiKeySecret: 'ORIGIN_1_KEY' } },
      { id: 'origin-2', url, engine: 'llama.cpp', concurrency: 3 },
      { id: 'origin-3', url, engine: 'openai' },
    ]);
    expect(origins.map((origin) => origin.models[0])).toMatchObject([
      { public: 'lamina-pro', upstream: 'zai-org/GLM-4-9B-0414', contextLength: 32768, toolCallText: true },
      { upstream: 'tiny', contextLength: 512, toolCallText: false },
      { upstream: 'glm-z1', thinkTags: 'closing' },
    ]);
    expect(origins.map((origin) => origin.models[0]?.capabilities.includes('image_input'))).toEqual([
      false,
      true,
      false,
    ]);
  });

  it('takes the model that is named, and one key for all', async () => {
    const flags = { origin: [url, url], originKey: ['vllm'], originModel: ['lora'] };
    const { origins } = await attachLocalOrigins(flags, silentProgress);
    expect(origins.map((origin) => origin.models[0]?.upstream)).toEqual(['lora', 'lora']);
  });

  it('attaches nothing when nothing is said', async () => {
    expect(await attachLocalOrigins({}, silentProgress)).toEqual({ origins: [], secrets: {} });
  });

  it.each([
    ['usage', 'need an --origin', { originKey: ['vllm'] }],
    ['usage', 'is not the URL', { origin: ['ftp://a'] }],
    ['usage', 'At most 16', { origin: Array.from({ length: 17 }, () => 'http://a') }],
    [
      'usage',
      '--origin-key is given 2 times for 3 origins',
      { origin: ['/', '/', '/'].map((end) => `http://a${end}`), originKey: ['a', 'b'] },
    ],
  ])('refuses with %s: %s', async (code, message, flags) => {
    await expect(attachLocalOrigins(flags, silentProgress)).rejects.toMatchObject({
      code,
      message: expect.stringContaining(message) as string,
    });
  });

  it.each([
    ['wrong', 'refuses this key (HTTP 401)'],
    ['none', 'lists no model'],
    ['html', 'does not list models'],
  ])('says what is wrong with the origin that answers to %s', async (key, message) => {
    await expect(attachLocalOrigins({ origin: [url], originKey: [key] }, silentProgress)).rejects.toThrow(message);
  });

  it('says which models there are when the named one is not', async () => {
    const flags = { origin: [url], originKey: ['vllm'], originModel: ['glm-9'] };
    await expect(attachLocalOrigins(flags, silentProgress)).rejects.toMatchObject({
      hint: 'It has: zai-org/GLM-4-9B-0414, lora.',
    });
  });

  it('says that nothing answers', async () => {
    await expect(attachLocalOrigins({ origin: ['http://127.0.0.1:1'] }, silentProgress)).rejects.toThrow(
      'does not answer at http://127.0.0.1:1/v1/models',
    );
  });
});
