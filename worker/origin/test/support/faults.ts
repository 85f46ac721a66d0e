/** What an origin may do wrong, and how the tests of it ask: used at the pool and at the gateway. */
import type { Fault } from '../../../../ops/testing/fault-proxy.ts';
import { rendezvousOrder } from '../../../../shards/client/rendezvous.ts';

/** Short, since rows wait for them; a tiny model on a busy machine still answers well within. */
export const DEADLINES = { firstTokenMs: 4_000, betweenTokensMs: 4_000, totalMs: 60_000 };

const ERROR_BODY = '{"error":{"message":"CUDA error: device-side assert triggered","type":"server_error","code":500}}';
const ROLE_ONLY = 'data: {"choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}]}\n\n';
const stream = (body: string): Fault => ({ type: 'body', contentType: 'text/event-stream', body });

export const FAULTS: readonly (readonly [name: string, fault: Fault])[] = [
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

/** A key with which requests go to the origin `a` first. */
export const KEY_OF_A = ['k0', 'k1', 'k2', 'k3', 'k4', 'k5'].find(
  (key) =>
    rendezvousOrder(
      [
        { id: 'a', weight: 1 },
        { id: 'b', weight: 1 },
      ],
      key,
    )[0]?.id === 'a',
) as string;
