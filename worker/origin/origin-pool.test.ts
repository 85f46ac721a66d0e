import { describe, expect, it } from 'vitest';
import { AbortedError } from '../../shards/client/abort.ts';
import { settled } from '../../ops/testing/manual-clock.ts';
import { OriginError, type OriginEvent, type OriginRequest } from './origin-backend.ts';
import { ATTEMPTS_MAX } from './origin-pool.ts';
import { CANARY_INTERVAL_MS, PROBE_INTERVAL_MS } from './origin-probe.ts';
import { chatRequest, collect } from './test/support/real-origins.ts';
import { answerOf, scriptedPool, silentAfter, type Respond } from './test/support/scripted-origin.ts';

const { signal } = new AbortController();
const status =
  (code: number, headers: Record<string, string> = {}): Respond =>
  () =>
    new Response('{}', { status: code, headers });
const CHUNK = 'data: {"choices":[{"index":0,"delta":{"content":"a"},"finish_reason":null}]}\n\n';

describe('what is sent', () => {
  it('has the upstream name, our key and our headers, and always asks for a counted stream', async () => {
    const sent: { url: URL; init: RequestInit }[] = [];
    const respond: Respond = (url, init) => {
      sent.push({ url, init });
      return answerOf('a');
    };
    const credentials = { apiKey: 'sk-origin', access: { clientId: 'id', clientSecret: 'secret' } };
    const { pool } = scriptedPool([{ respond, credentials, config: { engine: 'vllm' } }]);
    const body = { messages: [], temperature: 0.5 };
    await collect(
      pool.stream(chatRequest({ requestId: 'r', tenant: 't', body, deadlines: { totalMs: 5000 } }), signal),
    );
    expect(sent[0]?.url.href).toBe('http://origin-0.internal/v1/chat/completions');
    expect(sent[0]?.init.headers).toEqual({
      'x-request-id': 'r',
      'x-request-timeout-ms': '5000',
      'content-type': 'application/json',
      authorization: 'Bearer sk-origin',
      'cf-access-client-id': 'id',
      'cf-access-client-secret': 'secret',
    });
    expect(sent[0]?.init.redirect).toBe('manual');
    expect(JSON.parse(sent[0]?.init.body as string)).toEqual({
      ...body,
      model: 'up-0',
      stream: true,
      stream_options: { include_usage: true, continuous_usage_stats: true },
      cache_salt: 't',
    });
  });
});

describe('the penalty of repetition', () => {
  it.each([
    ['llama.cpp', { repeat_penalty: 1.2 }],
    ['vllm', { repetition_penalty: 1.2 }],
  ])('has the name that %s reads', async (engine, expected) => {
    const bodies: Record<string, unknown>[] = [];
    const respond: Respond = (_url, init) => {
      bodies.push(JSON.parse(init.body as string) as Record<string, unknown>);
      return answerOf('a');
    };
    const { pool } = scriptedPool([{ respond, config: { engine } }]);
    await collect(pool.stream(chatRequest({ body: { messages: [], repetition_penalty: 1.2 } }), signal));
    await collect(pool.stream(chatRequest({ body: { messages: [] } }), signal));
    const penalties = bodies.map((body) =>
      Object.fromEntries(Object.entries(body).filter(([name]) => name.endsWith('_penalty'))),
    );
    expect(penalties).toEqual([expected, {}]);
  });
});

describe('a request', () => {
  it('gets chunks under the public name, and one end with the count', async () => {
    const { pool } = scriptedPool([{ respond: () => answerOf('a', 'b') }]);
    const events: OriginEvent[] = [];
    for await (const event of pool.stream(chatRequest(), signal)) {
      events.push(event);
    }
    expect(events.map(({ type }) => type)).toEqual(['served_by', 'chunk', 'chunk', 'chunk', 'end']);
    expect(events[0]).toEqual({ type: 'served_by', originId: 'a', upstreamModel: 'up-0', attempts: 1 });
    expect(events[2]).toMatchObject({ completionTokens: 2, data: { model: 'lamina-pro' } });
    const usage = { promptTokens: 3, completionTokens: 2, cachedTokens: 0, reasoningTokens: 0 };
    expect(events[4]).toEqual({ type: 'end', usage });
  });

  it('is whole without its count when only that does not come', async () => {
    const finish = 'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n';
    const { pool, clock } = scriptedPool([{ respond: () => silentAfter(CHUNK + finish) }]);
    const collected = collect(pool.stream(chatRequest(), signal));
    await clock.wind(5000);
    expect(await collected).toMatchObject({ text: 'a', hasEnded: true, usage: null, error: null });
  });

  it('is refused by name when no origin can do what it needs', async () => {
    const { pool } = scriptedPool([{ respond: status(500) }]);
    expect(pool.canServe('other', new Set(), 0)).toEqual({ ok: false, reason: 'not_configured' });
    const needs = new Set(['chat', 'image_input'] as const);
    expect(pool.canServe('lamina-pro', needs, 0)).toEqual({ ok: false, reason: 'capability', missing: 'image_input' });
    const { error } = await collect(pool.stream(chatRequest({ needs }), signal));
    expect(error).toMatchObject({ code: 'capability', status: 400, attempts: 0 });
  });

  it('goes where the context is long enough by the estimate, and somewhere when it is nowhere', async () => {
    const model = { public: 'lamina-pro', upstream: 'up', capabilities: ['chat'] };
    const { pool } = scriptedPool([
      { respond: () => answerOf('a'), config: { weight: 100, models: [{ ...model, contextLength: 10 }] } },
      { respond: () => answerOf('a'), config: { weight: 1, models: [{ ...model, contextLength: 100 }] } },
    ]);
    const ask = (promptTokensEstimate: number) => collect(pool.stream(chatRequest({ promptTokensEstimate }), signal));
    expect((await ask(10)).servedBy?.originId).toBe('a');
    expect((await ask(11)).servedBy?.originId).toBe('b');
    expect((await ask(1000)).error).toBeNull();
    const tooLong = { ok: false, reason: 'context_length', contextLength: 100 };
    expect(pool.canServe('lamina-pro', new Set(), 101)).toEqual(tooLong);
  });

  it('is called once with no stream for an operation that has one body', async () => {
    const respond: Respond = (url) =>
      url.pathname === '/v1/embeddings'
        ? Response.json({ model: 'up-0', data: [], usage: { prompt_tokens: 4, total_tokens: 4 } })
        : new Response('', { status: 404 });
    const { pool } = scriptedPool([{ respond: status(503) }, { respond }]);
    const request = { ...chatRequest(), operation: 'embeddings', body: { input: 'x' } } as OriginRequest<'embeddings'>;
    expect(await pool.call(request, signal)).toMatchObject({
      body: { model: 'lamina-pro', data: [] },
      usage: { promptTokens: 4 },
      servedBy: { originId: 'b', attempts: 2 },
    });
  });
});

describe('deadlines', () => {
  const deadlines = { connectMs: 10, firstTokenMs: 100, betweenTokensMs: 1000, totalMs: 10_000 };
  const hang: Respond = () => new Promise<Response>(() => {});

  it.each([
    ['connect', 'vllm', hang, 'timeout', 'no answer came within 10 ms'],
    ['first token', 'openai', hang, 'timeout', 'no answer came within 100 ms'],
    ['first token', 'vllm', () => silentAfter(': ping\n\n'), 'timeout', 'no content came within 100 ms'],
    ['between tokens', 'openai', () => silentAfter(CHUNK), 'cut', 'no further content came within 1000 ms'],
  ] as const)('%s of %s', async (_name, engine, respond, code, message) => {
    const { pool, clock } = scriptedPool([{ respond, config: { engine } }]);
    const collected = collect(pool.stream(chatRequest({ deadlines }), signal));
    await clock.wind(deadlines.totalMs);
    const { error } = await collected;
    expect(error).toBeInstanceOf(OriginError);
    expect(error).toMatchObject({ code, attempts: code === 'cut' ? 1 : ATTEMPTS_MAX });
    expect((error as OriginError).message).toContain(message);
    expect(clock.numTimers).toBe(0);
  });

  it('do not run while the client is slow to read', async () => {
    const { pool, clock } = scriptedPool([{ respond: () => answerOf('a', 'b', 'c') }]);
    const texts: number[] = [];
    for await (const event of pool.stream(chatRequest({ deadlines }), signal)) {
      texts.push(event.type === 'chunk' ? 1 : 0);
      // That of the whole request.
      expect(clock.numTimers).toBe(event.type === 'end' ? 0 : 1);
      await clock.wind(1500);
    }
    expect(texts).toEqual([0, 1, 1, 1, 1, 0]);
  });
});

describe('a client that leaves', () => {
  it('ends the call at once, whatever is being waited for, and nobody is blamed', async () => {
    let numCancelled = 0;
    const { pool, clock } = scriptedPool([{ respond: () => silentAfter(CHUNK, () => numCancelled++) }]);
    const controller = new AbortController();
    const collected = collect(pool.stream(chatRequest(), controller.signal), () => controller.abort());
    expect((await collected).error).toBeInstanceOf(AbortedError);
    await settled();
    expect([numCancelled, clock.numTimers]).toEqual([1, 0]);
    expect(pool.health()).toMatchObject([{ inFlight: 0, failures: 0, breaker: 'closed' }]);
  });
});

describe('a client that leaves before the first chunk', () => {
  it('ends the call too', async () => {
    const signals: (AbortSignal | null | undefined)[] = [];
    const respond: Respond = (_url, init) => {
      signals.push(init.signal);
      return silentAfter(CHUNK);
    };
    const { pool, clock } = scriptedPool([{ respond }]);
    for await (const event of pool.stream(chatRequest(), signal)) {
      expect(event.type).toBe('served_by');
      break;
    }
    expect([signals.map((sent) => sent?.aborted), clock.numTimers]).toEqual([[true], 0]);
  });
});

describe('admission', () => {
  it('answers what finds no room with 429 and says when to come back', async () => {
    const { pool } = scriptedPool([{ respond: () => silentAfter(CHUNK), config: { concurrency: 1, queueMax: 0 } }]);
    const running = pool.stream(chatRequest(), signal);
    await running.next();
    const { error } = await collect(pool.stream(chatRequest(), signal));
    expect(error).toMatchObject({ code: 'overloaded', status: 429, retryable: true, retryAfterMs: 1000, attempts: 0 });
    expect(pool.canServe('lamina-pro', new Set(), 0)).toMatchObject({ reason: 'overloaded' });
    await running.return();
    expect(pool.canServe('lamina-pro', new Set(), 0)).toEqual({ ok: true });
  });

  it('leaves an engine alone that says it is full, and does not call it broken', async () => {
    let numCalls = 0;
    const busy: Respond = () => {
      numCalls++;
      return new Response('{}', { status: 429, headers: { 'retry-after': '5' } });
    };
    const { pool, clock } = scriptedPool([
      { respond: busy, config: { weight: 100 } },
      { respond: () => answerOf('a') },
    ]);
    for (let index = 0; index < 5; index++) {
      expect((await collect(pool.stream(chatRequest(), signal))).servedBy?.originId).toBe('b');
    }
    expect(numCalls).toBe(1);
    await clock.wind(5000);
    await collect(pool.stream(chatRequest(), signal));
    expect(numCalls).toBe(2);
    expect(pool.health()[0]?.breaker).toBe('closed');
  });
});

describe('probes', () => {
  const engineOf =
    (healthStatus: number, canary: Respond, log: string[]): Respond =>
    (url, init) => {
      log.push(url.pathname);
      if (url.pathname === '/health') {
        return new Response('', { status: healthStatus });
      }
      return url.pathname === '/metrics' ? new Response('vllm:num_requests_waiting 9\n') : canary(url, init);
    };

  it('ask no more often than the interval, and send a canary only to an origin that has been quiet', async () => {
    const log: string[] = [];
    const { pool, clock } = scriptedPool([
      { respond: engineOf(200, () => answerOf('a'), log), config: { engine: 'vllm' } },
    ]);
    await pool.probe();
    await pool.probe();
    expect(log).toEqual(['/health', '/metrics', '/v1/chat/completions']);
    expect(pool.health()).toMatchObject([{ probe: 'ok', engine: { waiting: 9 } }]);
    await clock.wind(PROBE_INTERVAL_MS);
    await pool.probe();
    expect(log.slice(3)).toEqual(['/health', '/metrics']);
    await clock.wind(CANARY_INTERVAL_MS);
    await pool.probe();
    expect(log.slice(5)).toEqual(['/health', '/metrics', '/v1/chat/completions']);
  });

  it('take an origin out that says it is not healthy, until it says otherwise', async () => {
    const log: string[] = [];
    let healthStatus = 503;
    const { pool, clock } = scriptedPool([
      { respond: (url, init) => engineOf(healthStatus, () => answerOf('a'), log)(url, init) },
    ]);
    await pool.probe();
    expect(pool.canServe('lamina-pro', new Set(), 0)).toMatchObject({ reason: 'unavailable' });
    expect(pool.health()).toMatchObject([{ probe: 'failing', detail: 'GET /health answered 503' }]);
    healthStatus = 200;
    await clock.wind(PROBE_INTERVAL_MS);
    await pool.probe();
    expect(pool.canServe('lamina-pro', new Set(), 0)).toEqual({ ok: true });
  });

  it('find out an engine whose health page lies', async () => {
    const { pool, clock } = scriptedPool([{ respond: engineOf(200, () => silentAfter(''), []) }]);
    for (let failures = 0; failures < 3; failures++) {
      const probed = pool.probe();
      await clock.wind(CANARY_INTERVAL_MS);
      await probed;
    }
    expect(pool.health()).toMatchObject([{ probe: 'ok', breaker: 'open', failures: 3 }]);
  });
});
