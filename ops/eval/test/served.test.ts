import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { firstServedModel, type ServedModel, servedLogProbs } from '../served.ts';

let server: Server | null = null;
let lastBody: unknown = null;
let lastAuthorization: string | undefined;

afterEach(async () => {
  const closing = server;
  server = null;
  await new Promise((resolve) => (closing === null ? resolve(null) : closing.close(resolve)));
});

/** A server that gives one answer to everything. */
async function serve(status: number, answer: string): Promise<ServedModel> {
  const started = createServer((request, response) => {
    lastAuthorization = request.headers.authorization;
    let text = '';
    request.setEncoding('utf8').on('data', (part: string) => (text += part));
    request.on('end', () => {
      lastBody = text === '' ? null : JSON.parse(text);
      response.writeHead(status, { 'content-type': 'application/json', connection: 'close' }).end(answer);
    });
  });
  server = started;
  await new Promise<void>((resolve) => {
    started.listen(0, '127.0.0.1', resolve);
  });
  const { port } = started.address() as AddressInfo;
  return { url: `http://127.0.0.1:${port}`, apiKey: 'key', modelId: 'lite' };
}

const completion = (logprobs: readonly (number | null)[]): string =>
  JSON.stringify({ choices: [{ text: '', logprobs: { token_logprobs: logprobs } }] });

describe('servedLogProbs', () => {
  it('asks for the prompt alone and leaves out the first token, which nothing predicts', async () => {
    const target = await serve(200, completion([null, -1, -2.5]));
    expect(await servedLogProbs(target, [7, 8, 9])).toEqual([-1, -2.5]);
    expect(lastBody).toMatchObject({ model: 'lite', prompt: [7, 8, 9], max_tokens: 0, echo: true, logprobs: 0 });
    expect(lastAuthorization).toBe('Bearer key');
  });

  it.each([
    ['too few', [null, -1]],
    ['too many', [null, -1, -2, -3]],
    ['a missing one', [null, -1, null]],
  ])('refuses %s log-probabilities', async (_, logprobs) => {
    const target = await serve(200, completion(logprobs));
    await expect(servedLogProbs(target, [7, 8, 9])).rejects.toMatchObject({ code: 'request_failed' });
  });

  it('tells what the server said', async () => {
    const target = await serve(400, '{"error":{"message":"echo is not supported"}}');
    await expect(servedLogProbs(target, [7, 8])).rejects.toThrow(/answered 400.*echo is not supported/);
  });

  it('refuses what is not JSON, and a server that is not there', async () => {
    const target = await serve(200, '<html>');
    await expect(servedLogProbs(target, [7, 8])).rejects.toThrow(/answered 200: <html>/);
    await new Promise((resolve) => server?.close(resolve));
    await expect(servedLogProbs(target, [7, 8])).rejects.toMatchObject({ code: 'request_failed' });
  });
});

describe('firstServedModel', () => {
  it('takes the first that is listed', async () => {
    const { url } = await serve(200, '{"data":[{"id":"lamina-lite"},{"id":"other"}]}');
    expect(await firstServedModel(url, 'key')).toEqual({ url, apiKey: 'key', modelId: 'lamina-lite' });
  });

  it('refuses a server without models', async () => {
    const { url } = await serve(200, '{"data":[]}');
    await expect(firstServedModel(url, 'key')).rejects.toMatchObject({ code: 'request_failed' });
  });
});
