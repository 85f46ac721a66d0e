/**
 * Looks after an origin: its health page, its metrics, and, since engines answer 200 while they are dead, one real token
 * when no request has shown lately that it still makes any. Workers have no background, so this rides on requests and
 * does nothing more often than the intervals say.
 */
import type { Clock } from '../../shards/platform/clock.ts';
import { describeError } from '../../shards/result.ts';
import { openAnswer } from './attempt.ts';
import { DeadlineWatch } from './deadline-watch.ts';
import { readEngineLoad } from './engine-metrics.ts';
import type { EngineLoad, OriginRequest, StreamedOperation } from './origin-backend.ts';
import { DEFAULT_DEADLINES, type Origin } from './origin.ts';
import { readText } from './upstream-events.ts';

export const PROBE_INTERVAL_MS = 15_000;

/** An origin that has given content to a request since then needs no canary. */
export const CANARY_INTERVAL_MS = 60_000;

const PROBE_MS_MAX = 5_000;

/** One token, with what may stand before it in the engine's queue. */
const CANARY_MS_MAX = 20_000;

/** A metrics page of vLLM has some hundred kilobytes. */
const PAGE_BYTES_MAX = 2 * 1024 * 1024;

export async function probeOrigin(origin: Origin, clock: Clock): Promise<void> {
  const nowMs = clock.nowMs();
  if (nowMs - origin.lastProbeStartMs < PROBE_INTERVAL_MS) {
    return;
  }
  origin.lastProbeStartMs = nowMs;
  const [failure, engine] = await Promise.all([checkHealth(origin, clock), readLoad(origin, clock)]);
  origin.sawProbe({ failure, engine, atMs: clock.nowMs() });
  if (failure === null) {
    await sendCanary(origin, clock);
  }
}

/** @returns why it is not healthy. An origin without a health page is not held to it. */
async function checkHealth(origin: Origin, clock: Clock): Promise<string | null> {
  try {
    const status = await get(origin, clock, '/health', async (response) => {
      await response.body?.cancel();
      return response.status;
    });
    return status === 200 || status === 404 || status === 405 ? null : `GET /health answered ${status}`;
  } catch (error) {
    return `GET /health failed: ${describeError(error)}`;
  }
}

async function readLoad(origin: Origin, clock: Clock): Promise<EngineLoad | null> {
  if (origin.config.engine === 'openai') {
    return null;
  }
  try {
    return await get(origin, clock, '/metrics', async (response, signal) =>
      response.status === 200 ? readEngineLoad(await readText(response, signal, PAGE_BYTES_MAX)) : null,
    );
  } catch {
    // Without its metrics an origin is judged by our own counts.
    return null;
  }
}

async function get<T>(
  origin: Origin,
  clock: Clock,
  path: string,
  read: (response: Response, signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const watch = new DeadlineWatch(clock, PROBE_MS_MAX, new AbortController().signal);
  try {
    return await read(await origin.transport.fetch(path, { method: 'GET', signal: watch.signal }), watch.signal);
  } finally {
    watch.stop();
  }
}

/** Asks for one token and tells the breaker what came of it: that opens it, or closes one that is open. */
async function sendCanary(origin: Origin, clock: Clock): Promise<void> {
  const model = origin.config.models.find(
    ({ capabilities }) => capabilities.includes('chat') || capabilities.includes('completion'),
  );
  const isQuiet = clock.nowMs() - origin.lastContentMs >= CANARY_INTERVAL_MS;
  if (model === undefined || origin.waitMs > 0 || !(isQuiet || origin.breaker.state !== 'closed')) {
    return;
  }
  const report = origin.breaker.begin();
  const isChat = model.capabilities.includes('chat');
  const request: OriginRequest<StreamedOperation> = {
    requestId: `canary-${origin.id}`,
    tenant: 'canary',
    operation: isChat ? 'chat' : 'completion',
    model: model.public,
    needs: new Set(),
    body: { ...(isChat ? { messages: [{ role: 'user', content: 'Hi' }] } : { prompt: 'Hi' }), max_tokens: 1 },
    affinityKey: null,
    priority: 'low',
    promptTokensEstimate: 1,
  };
  const deadlines = { ...DEFAULT_DEADLINES, firstTokenMs: CANARY_MS_MAX, totalMs: CANARY_MS_MAX };
  const { signal } = new AbortController();
  const startMs = clock.nowMs();
  try {
    const answer = await openAnswer({ origin, model, request, deadlines, remainingMs: CANARY_MS_MAX, clock, signal });
    answer.abort();
    report('success');
    origin.sawContent(clock.nowMs() - startMs);
  } catch (error) {
    report('failure');
    origin.sawFailure(`canary: ${describeError(error)}`);
  }
}
