/** Every way in which another model than the one asked for may serve a request: allowed, told, recorded, or refused. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { HEARTBEAT_MS, UNDECIDED_MS_MAX } from '../api/http/held-response.ts';
import { createGateway } from '../gateway.ts';
import type { ServedRecord } from '../metering/served-record.ts';
import { parseCatalog } from '../routing/catalog.ts';
import type { TextModel } from '../tokenizer/text-model.ts';
import { post, sseData, until, type ErrorBody } from './support/http.ts';
import { ManualClock } from '../../ops/testing/manual-clock.ts';
import { gatewayDeps, TEST_CATALOG, tinyModelFolder } from './support/real-gateway.ts';
import { errorEvent, finishEvent, ScriptedHead, tokenEvent, type Script } from '../../ops/testing/scripted-head.ts';
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
let textModel: TextModel;
beforeAll(async () => {
  ({ folder, remove } = await tinyModelFolder());
  textModel = await gatewayDeps(folder, new ScriptedHead(), [], []).textModel('/models/tiny');
});
afterAll(() => remove());

const CHAT = '/v1/chat/completions';
const LITE = { model: 'lamina-test', messages: [{ role: 'user', content: 'Hi' }], max_tokens: 8 };
const PRO = { ...LITE, model: 'lamina-pro' };
const PRO_ANSWER: readonly OriginStep[] = [
  servedByA,
  chatChunk({ content: 'pro' }, 1),
  chatChunk({}, 1, 'stop'),
  endOf({ promptTokens: 9, completionTokens: 1 }),
];

/** Letters as tokens of the tiny vocabulary: 3 control tokens, then the bytes in order. */
const LITE_ANSWER: Script = ['l', 'i', 't', 'e']
  .map((letter) => tokenEvent(3 + letter.charCodeAt(0)))
  .concat(finishEvent);

interface Scene {
  readonly ring?: readonly Script[];
  readonly origins?: readonly OriginStep[];
  readonly options?: ScriptedOriginsOptions;
}

function setUp({ ring = [LITE_ANSWER], origins: steps = PRO_ANSWER, options = {} }: Scene) {
  const head = new ScriptedHead(...ring);
  const origins = new ScriptedOrigins(steps, options);
  const clock = new ManualClock();
  const records: ServedRecord[] = [];
  const app = createGateway({
    ...gatewayDeps(folder, head, records, []),
    catalog: parseCatalog(TEST_CATALOG),
    textModel: () => Promise.resolve(textModel),
    origins,
    clock,
  });
  return { app, head, origins, clock, records };
}

const IMAGE = 'data:image/png;base64,iVBORw0KGgo=';
const withImage = {
  messages: [{ role: 'user', content: [{ type: 'image_url', image_url: { url: IMAGE } }] }],
};
const tools = [{ type: 'function', function: { name: 'f' } }];
const long = { messages: [{ role: 'user', content: 'z'.repeat(600) }] };
const failing = (code: 'overloaded' | 'connect_failed' | 'bad_response'): readonly OriginStep[] => [
  { type: 'fail', code },
];

type Row = readonly [what: string, scene: Scene, body: object, reason: string];

/** From the ring to an origin. */
const LITE_TO_PRO: readonly Row[] = [
  ['an image', {}, { ...LITE, ...withImage }, 'capability:image_input'],
  ['tools', {}, { ...LITE, tools }, 'capability:tools'],
  ['a JSON schema', {}, { ...LITE, response_format: { type: 'json_object' } }, 'capability:json_object'],
  ['reasoning', {}, { ...LITE, reasoning_effort: 'high' }, 'capability:reasoning'],
  ['a prompt that is too long', {}, { ...LITE, ...long }, 'context_length'],
  ['an answer that is too long', {}, { ...LITE, max_tokens: 600 }, 'context_length'],
  ['a full queue', { ring: [[errorEvent('queue_full', true)]] }, LITE, 'overloaded'],
  ['a ring that is not ready', { ring: [[errorEvent('not_ready', false)]] }, LITE, 'unavailable'],
  ['a ring that fails for good', { ring: [[errorEvent('ring_failed', false)]] }, LITE, 'failed'],
];

/** From the origins to the ring. */
const PRO_TO_LITE: readonly Row[] = [
  ['no origin', { options: { models: [] } }, PRO, 'not_configured'],
  [
    'no origin that is up',
    { options: { canServe: { ok: false, reason: 'unavailable', retryAfterMs: 1500 } } },
    PRO,
    'unavailable',
  ],
  [
    'full queues',
    { options: { canServe: { ok: false, reason: 'overloaded', retryAfterMs: 90_000 } } },
    PRO,
    'overloaded',
  ],
  ['queues that fill up meanwhile', { origins: failing('overloaded') }, PRO, 'overloaded'],
  ['a connection that fails', { origins: failing('connect_failed') }, PRO, 'failed'],
  ['200 with an error inside', { origins: failing('bad_response') }, PRO, 'failed'],
];

async function answerOf(response: Response, stream: boolean): Promise<string> {
  const body = await response.text();
  if (!stream) {
    return JSON.parse(body).choices[0].message.content;
  }
  const data = sseData(body);
  expect(data.pop()).toBe('[DONE]');
  return data.map((text) => JSON.parse(text).choices[0]?.delta.content ?? '').join('');
}

describe.each([true, false])('a fallback that is allowed (stream: %s)', (stream) => {
  it.each(LITE_TO_PRO)('lite to pro: %s', async (_what, scene, body, reason) => {
    const { app, records } = setUp(scene);
    const response = await post(app, CHAT, { ...body, stream, fallback: 'pro' });
    expect(response.headers.get('x-lamina-served-by')).toBe('origins/a');
    expect(response.headers.get('x-lamina-fallback')).toBe(reason);
    expect(await answerOf(response, stream)).toBe('pro');
    expect(records).toMatchObject([
      {
        model: 'lamina-test',
        servedModel: 'lamina-pro',
        tier: 'pro',
        servedBy: 'origins/a',
        fallbackReason: reason,
        outcome: 'completed',
        promptTokens: 9,
        completionTokens: 1,
        costCny: 0.0001,
      },
    ]);
  });

  it.each(PRO_TO_LITE)('pro to lite: %s', async (_what, scene, body, reason) => {
    const { app, records } = setUp(scene);
    const response = await post(app, CHAT, { ...body, stream, fallback: 'lite' });
    expect(response.headers.get('x-lamina-served-by')).toBe('ring/tiny');
    expect(response.headers.get('x-lamina-fallback')).toBe(reason);
    expect(await answerOf(response, stream)).toBe('lite');
    expect(records).toMatchObject([
      {
        model: 'lamina-pro',
        servedModel: 'lamina-test',
        tier: 'lite',
        servedBy: 'ring/tiny',
        fallbackReason: reason,
        outcome: 'completed',
        completionTokens: 4,
      },
    ]);
  });
});

describe('a fallback that is not allowed', () => {
  it.each([...LITE_TO_PRO, ...PRO_TO_LITE])('does not happen: %s', async (_what, scene, body) => {
    for (const fallback of [undefined, 'none']) {
      const { app, head, origins, records } = setUp(scene);
      const response = await post(app, CHAT, { ...body, fallback });
      expect(response.status).toBeGreaterThanOrEqual(400);
      expect(response.headers.get('x-lamina-fallback')).toBeNull();
      expect(records).toMatchObject([{ fallbackReason: null, completionTokens: 0, costCny: 0 }]);
      const isLite = 'model' in body && body.model === LITE.model;
      expect(isLite ? origins.requests : head.requests).toEqual([]);
    }
  });

  it('tells the first failure when the other backend cannot serve either', async () => {
    const { app, records } = setUp({ ring: [[errorEvent('queue_full', true)]], origins: failing('connect_failed') });
    const lite = await post(app, CHAT, { ...LITE, fallback: 'pro' });
    expect(((await lite.json()) as ErrorBody).error.code).toBe('queue_full');
    const pro = await post(app, CHAT, { ...PRO, tools, fallback: 'lite' });
    expect(((await pro.json()) as ErrorBody).error.code).toBe('origin_connect_failed');
    expect(records).toMatchObject([{ outcome: 'failed' }, { outcome: 'failed' }]);
  });

  it('says when to come back, at most in a minute', async () => {
    for (const [, scene, body, reason] of PRO_TO_LITE.slice(1, 3)) {
      const response = await post(setUp(scene).app, CHAT, body);
      expect([response.status, response.headers.get('retry-after')]).toEqual(
        reason === 'overloaded' ? [429, '60'] : [503, '2'],
      );
    }
  });
});

describe('the head of the answer', () => {
  it('waits for the other backend as long as one may take over, and not longer', async () => {
    const { app, origins, clock, records } = setUp({ origins: [{ type: 'wait' }] });
    const pending = { response: null as Response | null };
    const request = Promise.resolve(post(app, CHAT, { ...PRO, stream: true, fallback: 'lite' })).then((response) => {
      pending.response = response;
      return response;
    });
    await until(() => origins.requests.length > 0, 'the call to the origin');
    await clock.wind(UNDECIDED_MS_MAX - HEARTBEAT_MS);
    expect(pending.response).toBeNull();
    await clock.wind(HEARTBEAT_MS);
    const response = await request;
    expect(response.headers.get('x-lamina-served-by')).toBe('origins');
    await response.body?.cancel();
    expect(records).toMatchObject([{ outcome: 'client_gone', fallbackReason: null }]);
  });

  it('is final: a backend that fails after it was sent is not replaced', async () => {
    const release = { fail: (): void => {} };
    const promise = new Promise<void>((resolve) => {
      release.fail = resolve;
    });
    const { app, origins, head, clock } = setUp({
      origins: [
        { type: 'wait', promise },
        { type: 'fail', code: 'timeout' },
      ],
    });
    const request = Promise.resolve(post(app, CHAT, { ...PRO, stream: true, fallback: 'lite' }));
    await until(() => origins.requests.length > 0, 'the call to the origin');
    await clock.wind(UNDECIDED_MS_MAX);
    const response = await request;
    release.fail();
    expect(sseData(await response.text())).toEqual([expect.stringContaining('origin_timeout')]);
    expect(head.requests).toEqual([]);
  });
});
