/** Every fault, at one of two origins and at both, while two real engines work: the table of `docs/reliability-origins.md`. */
import path from 'node:path';
import * as prettier from 'prettier';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Fault, type FaultProxy, startFaultProxy } from '../../../ops/testing/fault-proxy.ts';
import { rendezvousOrder } from '../choose-origin.ts';
import { type OriginBackend, OriginError } from '../origin-backend.ts';
import {
  chatRequest,
  collect,
  type Collected,
  type Engines,
  poolOver,
  startEngines,
  TOKENS,
} from './support/real-origins.ts';

/** Short, since rows wait for them; a tiny model on a busy machine still answers well within. */
const DEADLINES = { firstTokenMs: 4_000, betweenTokensMs: 4_000, totalMs: 60_000 };

const ERROR_BODY = '{"error":{"message":"CUDA error: device-side assert triggered","type":"server_error","code":500}}';
const ROLE_ONLY = 'data: {"choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}]}\n\n';
const stream = (body: string): Fault => ({ type: 'body', contentType: 'text/event-stream', body });

const FAULTS: readonly (readonly [name: string, fault: Fault])[] = [
  ['none', { type: 'none' }],
  ['300 ms delay', { type: 'delay', ms: 300 }],
  ['slow tokens', { type: 'slow', msBetweenEvents: 20 }],
  ['hangs before the first byte', { type: 'hang' }],
  ['healthy by its health page, but never answers', { type: 'lying_health' }],
  ['connection reset', { type: 'reset' }],
  ['500', { type: 'status', status: 500 }],
  ['502', { type: 'status', status: 502 }],
  ['503 with `Retry-After: 1`', { type: 'status', status: 503, headers: { 'retry-after': '1' } }],
  ['429', { type: 'status', status: 429 }],
  ['503 with `x-should-retry: false`', { type: 'status', status: 503, headers: { 'x-should-retry': 'false' } }],
  ['401: our key is wrong', { type: 'status', status: 401 }],
  ['400: the request is wrong', { type: 'status', status: 400 }],
  ['200 with an error as its body', { type: 'body', contentType: 'application/json', body: ERROR_BODY }],
  ['200 with a page of a proxy', { type: 'body', contentType: 'text/html', body: '<html>Bad gateway</html>' }],
  ['a stream whose first event is an error', stream(`data: ${ERROR_BODY}\n\n`)],
  ['an empty stream', stream('')],
  ['`[DONE]` without an answer', stream('data: [DONE]\n\n')],
  ['a role and then the end', stream(`${ROLE_ONLY}data: [DONE]\n\n`)],
  ['garbage in place of events', stream('\u0000\u0001 garbage\n\n{"not": "an event"}\n\n')],
  ['events that are no JSON', stream('data: {"choices": [\n\n')],
  ['cut before the first token', { type: 'cut', afterEvents: 0 }],
  ['cut at the 6th event', { type: 'cut', afterEvents: 6 }],
  ['ends as if whole at the 6th event', { type: 'early_end', afterEvents: 6 }],
  ['falls silent at the 6th event', { type: 'silence', afterEvents: 6 }],
];

interface Outcome extends Collected {
  readonly numRequests: number;
}

let engines: Engines;
let reference: string;
const cells = new Map<string, readonly [string, string]>();

beforeAll(async () => {
  engines = await startEngines();
  const alone = poolOver([engines.engines[0].url]);
  const answer = await collect(alone.stream(chatRequest(), new AbortController().signal));
  expect(answer.error).toBeNull();
  reference = answer.text;
});
afterAll(() => engines.stop());

/** A key with which requests go to the origin `a` first. */
const KEY_OF_A = ['k0', 'k1', 'k2', 'k3', 'k4', 'k5'].find(
  (key) =>
    rendezvousOrder(
      [
        { id: 'a', weight: 1 },
        { id: 'b', weight: 1 },
      ],
      key,
    )[0]?.id === 'a',
) as string;

async function serve(faultOfA: Fault, faultOfB: Fault): Promise<Outcome> {
  const proxies: FaultProxy[] = await Promise.all(engines.engines.map(({ url }) => startFaultProxy(url)));
  const [a, b] = proxies as [FaultProxy, FaultProxy];
  a.fault = faultOfA;
  b.fault = faultOfB;
  const pool: OriginBackend = poolOver(proxies.map(({ url }) => url));
  const request = chatRequest({ affinityKey: KEY_OF_A, deadlines: DEADLINES });
  const collected = await collect(pool.stream(request, new AbortController().signal));
  expect(pool.health().map(({ inFlight, waiting }) => inFlight + waiting)).toEqual([0, 0]);
  await Promise.all(proxies.map((proxy) => proxy.close()));
  return { ...collected, numRequests: a.numRequests + b.numRequests };
}

/** What must hold whatever happened; and what happened, in words. */
function judge({ error, ...answer }: Outcome): string {
  if (error === null) {
    expect(answer).toMatchObject({ text: reference, hasEnded: true, finishReason: 'length', completionTokens: TOKENS });
    expect(answer.usage?.completionTokens).toBe(TOKENS);
    expect(answer.numRequests).toBe(answer.servedBy?.attempts);
    const { attempts = 0, originId } = answer.servedBy ?? {};
    return attempts === 1 ? 'whole answer' : `whole answer from ${originId}, attempt ${attempts}`;
  }
  expect(error).toBeInstanceOf(OriginError);
  const failure = error as OriginError;
  // Never a finish, never a clean end, never text that the model did not write, and every token counted once.
  expect(answer).toMatchObject({ hasEnded: false, finishReason: null, completionTokens: failure.tokensSent });
  expect(reference.startsWith(answer.text)).toBe(true);
  expect(answer.numRequests).toBe(failure.attempts);
  expect(failure.message).not.toContain('CUDA');
  const attempts = failure.attempts === 1 ? '1 attempt' : `${failure.attempts} attempts`;
  if (failure.code === 'cut') {
    expect(failure.tokensSent).toBeGreaterThan(0);
    return 'error `cut`, the tokens before it counted, never tried again';
  }
  expect(failure.tokensSent).toBe(0);
  return `error \`${failure.code}\`, ${failure.status}, after ${attempts}`;
}

describe('two origins, and a fault', () => {
  it.concurrent.each(FAULTS)('%s', async (name, fault) => {
    const [one, both] = await Promise.all([serve(fault, { type: 'none' }), serve(fault, fault)]);
    cells.set(name, [judge(one), judge(both)]);
  });
});

describe('docs/reliability-origins.md', () => {
  it('has the table as it was just measured', async () => {
    const rows = FAULTS.map(([name]) => `| ${[name, ...(cells.get(name) ?? ['', ''])].join(' | ')} |`);
    const text = `${INTRODUCTION}\n| fault | at the origin that is asked first | at both |\n| --- | --- | --- |\n${rows.join('\n')}\n`;
    const file = path.join(import.meta.dirname, '..', '..', '..', 'docs', 'reliability-origins.md');
    const config = await prettier.resolveConfig(file);
    await expect(await prettier.format(text, { ...config, filepath: file })).toMatchFileSnapshot(file);
  });
});

const INTRODUCTION = `# When an origin fails

What the gateway's pool of GPU origins does when one of two origins fails, and when both do. This page is written by
\`worker/origin/test/fault-matrix.test.ts\`: two real llama.cpp servers behind proxies that fail in these ways. Each row was
checked for this: an answer is the whole text that the model gives alone, with as many tokens as the engine counts; an error
comes with a prefix of that text, no finish reason and no end, and with the number of tokens in it; no call to an origin was
made that was not counted.

\`worker/origin/test/kill.test.ts\` kills the process of an origin under fifty streams: those that it had begun end with the
error \`cut\`, the rest and all new requests are answered by the other origin, no slot stays taken, and when the process is back
the breaker's trial finds it and it gets requests again. \`worker/origin/test/disconnect.test.ts\` watches the engine's \`/slots\`:
a client that leaves frees its slot while the engine prefills and while it generates.
`;
