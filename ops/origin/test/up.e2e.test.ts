import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { checkContext, checkOrigin } from '../check-command.ts';
import { type OriginProcess, startOriginProcess } from '../../testing/origin-process.ts';
import { writeTinyGguf } from '../../testing/tiny-model.ts';

const KEY = 'sk-of-the-origin';

let folder: string;
let origin: OriginProcess;

beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'lamina-origin-'));
  const modelFile = path.join(folder, 'tiny.gguf');
  await writeTinyGguf(modelFile, { shape: { contextLengthMax: 2048 } });
  // One thread: llama.cpp's threads wait for each other by spinning, which a busy machine makes very slow.
  const args = ['--key', KEY, '--slots', '3', '--context', '2048', '--threads', '1'];
  origin = await startOriginProcess({ modelFile, args });
});
afterAll(async () => {
  await origin.stop('SIGKILL');
  await rm(folder, { recursive: true, force: true });
});

const get = (route: string, key = KEY): Promise<Response> =>
  fetch(`${origin.url}${route}`, { headers: { authorization: `Bearer ${key}` } });

describe('lamina origin up', () => {
  it('serves the model under its name, to the holder of the key alone', async () => {
    expect(origin.model).toBe('tiny');
    expect(await (await get('/v1/models')).json()).toMatchObject({ data: [{ id: 'tiny' }] });
    expect((await get('/v1/models', 'sk-wrong')).status).toBe(401);
  });

  it('shows its slots and its metrics', async () => {
    expect(await (await get('/slots')).json()).toMatchObject([{ n_ctx: 2048 }, {}, {}]);
    expect(await (await get('/metrics')).text()).toContain('llamacpp:requests_processing 0');
  });

  it('chats', async () => {
    const response = await fetch(`${origin.url}/v1/chat/completions`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', authorization: `Bearer ${KEY}` },
      body: JSON.stringify({ messages: [{ role: 'user', content: 'hi' }], max_tokens: 3 }),
    });
    expect(await response.json()).toMatchObject({ choices: [{ message: { role: 'assistant' } }] });
  });

  it('stands the check of a GPU origin, as far as llama.cpp has what it looks at', async () => {
    const results = await checkOrigin(await checkContext(origin.url, { key: KEY }), () => {});
    expect(Object.fromEntries(results.map(({ name, outcome }) => [name, outcome]))).toEqual({
      key: 'pass',
      chat: 'pass',
      'chat, streaming': 'pass',
      health: 'pass',
      metrics: 'pass',
      'abort, streaming': 'pass',
      'abort, not streaming': 'not applicable',
      'cache salt': 'not applicable',
      'queue bound': 'not applicable',
      drain: 'not applicable',
    });
  });

  it('ends with its engine on SIGTERM', async () => {
    expect(await origin.stop()).toBe(0);
    await expect(get('/health')).rejects.toThrow('fetch failed');
  });
});
