/** What a client sees when the ring behind an answer breaks, stalls, refuses or is slow. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createGateway } from '../gateway.ts';
import { HEARTBEAT_MS } from '../api/http/held-response.ts';
import type { ServedRecord } from '../metering/served-record.ts';
import type { TextModel } from '../tokenizer/text-model.ts';
import { DEFAULT_RESUME_LIMITS } from '../../shards/client/recovery.ts';
import { post, sseData, until } from './support/http.ts';
import { ManualClock, settled } from '../../ops/testing/manual-clock.ts';
import { gatewayDeps, TEST_MODEL, tinyModelFolder } from './support/real-gateway.ts';
import { errorEvent, finishEvent, ScriptedHead, tokenEvent, type Script } from '../../ops/testing/scripted-head.ts';

let folder: string;
let remove: () => Promise<void>;
let textModel: TextModel;
beforeAll(async () => {
  ({ folder, remove } = await tinyModelFolder());
  // Loaded before: files are read in real time, everything else happens on the manual clock.
  textModel = await gatewayDeps(folder, new ScriptedHead(), [], []).textModel('/models/tiny');
});
afterAll(() => remove());

/** Letters as tokens of the tiny vocabulary: 3 control tokens, then the bytes in order. */
const letters = (text: string) => text.split('').map((letter) => tokenEvent(3 + letter.charCodeAt(0)));

function setUp(...scripts: Script[]) {
  const head = new ScriptedHead(...scripts);
  const clock = new ManualClock();
  const records: ServedRecord[] = [];
  const errors: unknown[] = [];
  const app = createGateway({
    ...gatewayDeps(folder, head, records, errors),
    clock,
    textModel: () => Promise.resolve(textModel),
  });
  return { app, head, clock, records, errors };
}

const CHAT = { model: TEST_MODEL, messages: [{ role: 'user', content: 'Hi' }], max_tokens: 8 };
const STREAM = { ...CHAT, stream: true };

/** Until then a request does things that the manual clock does not rule, such as hashing its key. */
const reached = (head: ScriptedHead): Promise<void> => until(() => head.requests.length > 0, 'the request to start');

/** Longer than all patience of the gateway together. */
const SECONDS_MAX = 2000;

/** Winds the clock until the promise settles. */
async function wound<T>(clock: ManualClock, promise: Promise<T>): Promise<T> {
  const progress = { isSettled: false };
  const settle = (): void => {
    progress.isSettled = true;
  };
  promise.then(settle, settle);
  for (let second = 0; second < SECONDS_MAX && !progress.isSettled; second++) {
    await clock.wind(1000);
  }
  expect(progress.isSettled).toBe(true);
  return promise;
}

async function textOf(clock: ManualClock, request: Promise<Response> | Response): Promise<string> {
  return wound(
    clock,
    Promise.resolve(request).then((response) => response.text()),
  );
}

const answerText = (body: string): string =>
  sseData(body)
    .filter((data) => data !== '[DONE]')
    .map((data) => JSON.parse(data).choices?.[0]?.delta.content ?? '')
    .join('');

describe('a ring that breaks in the middle', () => {
  const breaks: [string, Script][] = [
    ['the stream fails', [...letters('ab'), { type: 'break' }]],
    ['the stream ends early', letters('ab')],
    ['the engine says so', [...letters('ab'), errorEvent('ring_failed', true)]],
    ['the queue is full when it comes back', [...letters('ab'), errorEvent('queue_full', true)]],
    ['a line is no JSON', [...letters('ab'), { type: 'raw', text: 'oops\n' }]],
    ['a line is cut', [...letters('ab'), { type: 'raw', text: '{"type":"tok' }]],
    ['a line is no event', [...letters('ab'), { type: 'raw', text: '{"type":"token"}\n' }]],
    ['nothing comes any more', [...letters('ab'), { type: 'hang' }]],
  ];
  it.each(breaks)('goes on without a gap or a repeat when %s', async (_name, broken) => {
    const { app, head, clock, records } = setUp(broken, 'reject', [...letters('cd'), finishEvent]);
    const body = await textOf(clock, post(app, '/v1/chat/completions', STREAM));
    expect(answerText(body)).toBe('abcd');
    expect(sseData(body).at(-1)).toBe('[DONE]');
    expect(head.requests.map((request) => request.emittedTokens.length)).toEqual([0, 2, 2]);
    expect(new Set(head.requests.map((request) => request.requestId)).size).toBe(3);
    expect(new Set(head.requests.map((request) => request.sampling.seed)).size).toBe(1);
    expect(records).toMatchObject([{ outcome: 'completed', completionTokens: 4, numResumes: 2 }]);
  });

  it('does not ask for prompt log-probabilities twice', async () => {
    const prompt = { type: 'prompt', logprobs: [{ tokenId: 4, logprob: -1, top: [] }] } as const;
    const { app, head, clock } = setUp([prompt, { type: 'break' }], [...letters('a'), finishEvent]);
    const body = { model: TEST_MODEL, prompt: [3, 4], echo: true, logprobs: 0, max_tokens: 1 };
    const answer = JSON.parse(await textOf(clock, post(app, '/v1/completions', body)));
    expect(answer.choices[0].logprobs.token_logprobs.slice(0, 2)).toEqual([null, -1]);
    expect(head.requests.map((request) => request.numPromptLogprobs)).toEqual([0, null]);
  });

  it('gives up after a bounded number of failures in a row, without [DONE]', async () => {
    const { app, head, clock, records, errors } = setUp([...letters('ab'), { type: 'break' }], 'reject');
    const body = await textOf(clock, post(app, '/v1/chat/completions', STREAM));
    expect(answerText(body)).toBe('ab');
    const last = JSON.parse(sseData(body).at(-1) ?? '');
    expect(last.error).toMatchObject({ type: 'server_error', code: 'ring_failed', param: null });
    expect(body).not.toContain('[DONE]');
    expect(head.requests).toHaveLength(DEFAULT_RESUME_LIMITS.roundsInRowMax);
    expect(records).toMatchObject([{ outcome: 'failed', errorCode: 'ring_failed', completionTokens: 2 }]);
    expect(errors).toHaveLength(1);
  });

  it('gives up on a ring that dies after every token', async () => {
    const { app, head, clock } = setUp([...letters('a'), { type: 'break' }]);
    const body = await textOf(clock, post(app, '/v1/chat/completions', { ...STREAM, max_tokens: 100 }));
    expect(body).not.toContain('[DONE]');
    expect(head.requests).toHaveLength(DEFAULT_RESUME_LIMITS.failuresTotalMax);
    expect(answerText(body)).toBe('a'.repeat(DEFAULT_RESUME_LIMITS.failuresTotalMax));
  });

  it('waits longer before each further attempt', async () => {
    const { app, head, clock } = setUp('reject');
    const response = post(app, '/v1/chat/completions', CHAT);
    await reached(head);
    const atMs: number[] = [clock.nowMs()];
    for (let step = 0; step < 4000 && head.requests.length < DEFAULT_RESUME_LIMITS.roundsInRowMax; step++) {
      const before = head.requests.length;
      await clock.wind(50);
      if (head.requests.length > before) {
        atMs.push(clock.nowMs());
      }
    }
    const pauses = atMs.slice(1).map((ms, index) => ms - (atMs[index] ?? 0));
    expect(pauses).toEqual([100, 200, 400, 800, 1600]);
    await textOf(clock, response);
  });
});

describe('a failure before the first token', () => {
  it.each([
    ['queue_full', true, 429],
    ['prompt_too_long', false, 400],
    ['invalid_request', false, 400],
    ['not_ready', false, 503],
    ['internal', false, 500],
  ] as const)('%s has its own status', async (code, retryable, status) => {
    for (const body of [CHAT, STREAM]) {
      const { app, head } = setUp([errorEvent(code, retryable)]);
      const response = await post(app, '/v1/chat/completions', body);
      expect(response.status).toBe(status);
      expect(await response.json()).toMatchObject({ error: { message: `the script says ${code}` } });
      expect(response.headers.has('retry-after')).toBe(status === 429 || status === 503);
      expect(head.requests).toHaveLength(1);
    }
  });
});

describe('a slow ring', () => {
  it('beats once a second: comments in a stream, white space before JSON', async () => {
    for (const [body, beat] of [
      [STREAM, ': keep-alive\n\n'],
      [CHAT, ' '],
    ] as const) {
      let release = (): void => {};
      const promise = new Promise<void>((resolve) => {
        release = resolve;
      });
      const { app, head, clock } = setUp([{ type: 'wait', promise }, ...letters('ok'), finishEvent]);
      let response: Response | null = null;
      const request = Promise.resolve(post(app, '/v1/chat/completions', body)).then((value) => (response = value));
      await reached(head);
      await clock.wind(HEARTBEAT_MS - 1);
      expect(response).toBeNull();
      await clock.wind(1);
      const text = (await request).text();
      await clock.wind(3 * HEARTBEAT_MS);
      release();
      const received = await wound(clock, text);
      expect(received.startsWith(beat.repeat(3))).toBe(true);
      expect(received).toContain(body === CHAT ? '"content":"ok"' : '"content":"k"');
      expect(body === CHAT ? JSON.parse(received).choices : sseData(received)).not.toHaveLength(0);
    }
  });

  it('puts a failure after the headers into the body', async () => {
    const { app, clock } = setUp([{ type: 'hang' }]);
    const request = post(app, '/v1/chat/completions', CHAT);
    const received = await textOf(clock, request);
    expect((await request).status).toBe(200);
    expect(JSON.parse(received)).toMatchObject({ error: { code: 'ring_failed' } });
  });

  it('gives up on a call that never returns', async () => {
    const { app, clock, records } = setUp('never');
    const received = await textOf(clock, post(app, '/v1/chat/completions', CHAT));
    expect(JSON.parse(received)).toMatchObject({ error: { code: 'ring_failed' } });
    expect(records).toMatchObject([{ outcome: 'failed' }]);
    expect(clock.numTimers).toBe(0);
  });
});

describe('a client that leaves', () => {
  it.each([
    // Nothing is computed ahead of what the client takes: it has read one part.
    ['in the middle of a stream', STREAM, letters('ab'), 1],
    ['before the first token', STREAM, [], 0],
    ['while a JSON answer is computed', CHAT, letters('ab'), 2],
  ] as const)('stops the sequence %s', async (_name, body, events, completionTokens) => {
    const { app, head, clock, records } = setUp([...events, { type: 'hang' }]);
    const request = post(app, '/v1/chat/completions', body);
    await reached(head);
    await clock.wind(HEARTBEAT_MS);
    const reader = (await request).body?.getReader();
    await wound(clock, reader?.read() ?? Promise.reject(new Error('no body')));
    const numBefore = head.requests.length;
    await reader?.cancel();
    await settled();
    expect(head.numCancelled).toBe(1);
    expect(head.requests).toHaveLength(numBefore);
    expect(records).toMatchObject([{ outcome: 'client_gone', completionTokens }]);
    expect(clock.numTimers).toBe(0);
  });

  it('stops all choices when one fails', async () => {
    const { app, head, clock } = setUp([errorEvent('internal', false)], [...letters('a'), { type: 'hang' }]);
    const response = await post(app, '/v1/chat/completions', { ...CHAT, n: 3 });
    expect(response.status).toBe(500);
    await settled();
    expect(head.requests).toHaveLength(3);
    expect(head.numCancelled).toBe(3);
    expect(clock.numTimers).toBe(0);
  });
});

describe('several prompts', () => {
  it('run at most 8 at a time', async () => {
    let release = (): void => {};
    const promise = new Promise<void>((resolve) => {
      release = resolve;
    });
    const { app, head, clock } = setUp([{ type: 'wait', promise }, ...letters('a'), finishEvent]);
    const body = { model: TEST_MODEL, prompt: Array.from({ length: 20 }, () => 'x'), max_tokens: 1 };
    const request = post(app, '/v1/completions', body);
    await reached(head);
    await clock.wind(HEARTBEAT_MS);
    expect(head.requests).toHaveLength(8);
    release();
    const answer = JSON.parse(await textOf(clock, request));
    expect(head.requests).toHaveLength(20);
    expect(answer.choices.map((choice: { text: string }) => choice.text)).toEqual(
      Array.from({ length: 20 }, () => 'a'),
    );
  });
});
