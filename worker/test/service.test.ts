/** What the gateway does beside generating: health, headers, web origins, the playground. */
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { createGateway } from '../gateway.ts';
import { eventData } from '../playground/chat-stream.js';
import { PLAYGROUND_FILES, PLAYGROUND_PATHS } from '../playground/files.ts';
import { parseCatalog } from '../routing/catalog.ts';
import { post } from './support/http.ts';
import { finishEvent, ScriptedHead, tokenEvent } from '../../ops/testing/scripted-head.ts';
import {
  gatewayDeps,
  startRealGateway,
  TEST_CATALOG,
  TEST_MODEL,
  tinyModelFolder,
  type TestGateway,
} from './support/real-gateway.ts';

let gateway: TestGateway;
beforeAll(async () => {
  gateway = await startRealGateway();
});
afterAll(() => gateway.close());

function streamOf(pieces: readonly Uint8Array[]): ReadableStream<Uint8Array> {
  return new ReadableStream({
    start(controller) {
      pieces.forEach((piece) => controller.enqueue(piece));
      controller.close();
    },
  });
}

const KEY = { authorization: 'Bearer sk-local' };

describe('GET /healthz', () => {
  it('answers without a key and without touching the ring', async () => {
    const { numStepsTotal } = await gateway.head.stats();
    const response = await gateway.app.request('/healthz');
    expect(await response.json()).toEqual({ status: 'ok', models: [TEST_MODEL] });
    expect((await gateway.head.stats()).numStepsTotal).toBe(numStepsTotal);
  });

  it('looks at the rings when asked by somebody with a key', async () => {
    expect((await gateway.app.request('/healthz?deep=1')).status).toBe(401);
    const response = await gateway.app.request('/healthz?deep=1', { headers: KEY });
    expect(response.status).toBe(200);
    expect(await response.json()).toMatchObject({
      status: 'ok',
      rings: [{ model: TEST_MODEL, status: 'ok', replicas: [{ index: 0, status: 'ok', stats: { stageCount: 2 } }] }],
    });
  });

  it('fails when a ring does not answer', async () => {
    const app = createGateway(gatewayDeps('', new ScriptedHead(), [], []));
    const response = await app.request('/healthz?deep=1', { headers: KEY });
    expect(response.status).toBe(503);
    expect(await response.json()).toMatchObject({ status: 'failing' });
  });

  it('is well enough while some of the replicas answer', async () => {
    const heads = [new ScriptedHead(), gateway.head];
    const app = createGateway({ ...gatewayDeps('', gateway.head, [], []), heads: () => heads });
    const response = await app.request('/healthz?deep=1', { headers: KEY });
    expect(response.status).toBe(200);
    expect(await response.json()).toMatchObject({
      status: 'ok',
      rings: [
        {
          status: 'degraded',
          replicas: [
            { index: 0, status: 'failing', stats: null },
            { index: 1, status: 'ok' },
          ],
        },
      ],
    });
  });
});

describe('GET /metrics', () => {
  it('counts what was served, for those who have a key', async () => {
    const head = new ScriptedHead([tokenEvent(40), finishEvent]);
    const { folder, remove } = await tinyModelFolder();
    onTestFinished(remove);
    const app = createGateway({ ...gatewayDeps(folder, head, [], []), catalog: parseCatalog(TEST_CATALOG) });
    const chat = { model: 'lamina-pro', messages: [{ role: 'user', content: 'Hi' }], max_tokens: 4 };
    await (await post(app, '/v1/chat/completions', { ...chat, fallback: 'lite' })).text();
    await (await post(app, '/v1/chat/completions', chat)).text();
    expect((await app.request('/metrics')).status).toBe(401);
    const response = await app.request('/metrics', { headers: KEY });
    expect(response.headers.get('content-type')).toContain('version=0.0.4');
    const lines = (await response.text()).split('\n');
    expect(lines).toContain(
      'lamina_requests_total{surface="chat.completions",model="lamina-pro",served_by="ring/tiny",outcome="completed"} 1',
    );
    expect(lines).toContain(
      'lamina_requests_total{surface="chat.completions",model="lamina-pro",served_by="none",outcome="failed"} 1',
    );
    expect(lines).toContain(
      `lamina_fallbacks_total{model="lamina-pro",served_model="${TEST_MODEL}",reason="not_configured"} 1`,
    );
    expect(lines).toContain(`lamina_tokens_total{model="${TEST_MODEL}",kind="completion"} 1`);
    expect(lines.some((line) => line.startsWith(`lamina_cost_cny_total{model="${TEST_MODEL}"} 0.0`))).toBe(true);
  });
});

describe('headers', () => {
  it.each([
    ['my-id_1.2', 'my-id_1.2'],
    ['x'.repeat(129), /^id\d+$/],
    ['a b', /^id\d+$/],
  ])('take over the request id %j when it is harmless', async (offered, expected) => {
    const response = await gateway.app.request('/healthz', { headers: { 'x-request-id': offered } });
    expect(response.headers.get('x-request-id')).toMatch(expected);
  });

  it('let pages of this machine in, and no others', async () => {
    const preflight = (origin: string) =>
      gateway.app.request('/v1/chat/completions', {
        method: 'OPTIONS',
        headers: { origin, 'access-control-request-method': 'POST', 'access-control-request-headers': 'authorization' },
      });
    const allowed = await preflight('http://localhost:3000');
    expect(allowed.headers.get('access-control-allow-origin')).toBe('http://localhost:3000');
    expect(allowed.headers.get('access-control-allow-headers')).toBe('authorization');
    expect(allowed.headers.get('access-control-allow-credentials')).toBeNull();
    const refused = await preflight('https://evil.example');
    expect(refused.headers.get('access-control-allow-origin')).toBeNull();
    expect(refused.headers.get('vary')).toContain('Origin');
  });
});

describe('the playground', () => {
  it('is served at its paths, closed to scripts from elsewhere', async () => {
    expect(PLAYGROUND_PATHS[0]).toBe('/');
    for (const page of PLAYGROUND_PATHS) {
      const response = await gateway.app.request(page);
      expect(response.status).toBe(200);
      expect(response.headers.get('content-security-policy')).toContain("script-src 'self'");
    }
  });

  it('loads nothing that is not its own', async () => {
    for (const file of PLAYGROUND_FILES) {
      const source = await readFile(path.join(import.meta.dirname, '..', 'playground', file), 'utf8');
      expect(source).not.toMatch(/https?:\/\//);
      for (const [, loaded] of source.matchAll(/(?:src|href|from)=?\s?["'](?!data:)([^"']+)["']/g)) {
        expect(PLAYGROUND_PATHS).toContain(loaded?.replace(/^\.\//, '/'));
      }
    }
  });

  it('reads events from any pieces and skips comments', async () => {
    const text = ': keep-alive\n\ndata: {"a":"ü"}\n\n: keep-alive\n\ndata: [DONE]\n\n';
    const bytes = new TextEncoder().encode(text);
    for (const size of [1, 2, 7, bytes.length]) {
      const pieces = Array.from({ length: Math.ceil(bytes.length / size) }, (_, index) =>
        bytes.slice(index * size, (index + 1) * size),
      );
      const got: string[] = [];
      for await (const data of eventData(streamOf(pieces))) {
        got.push(data);
      }
      expect(got).toEqual(['{"a":"ü"}', '[DONE]']);
    }
  });
});
