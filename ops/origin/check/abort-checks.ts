/** Whether work ends when its client leaves: the costliest thing that an origin can get wrong. */
import { setTimeout as sleep } from 'node:timers/promises';
import { formatMs } from '../../support/format.ts';
import { type Check, type CheckContext, type CheckResult, fail, notApplicable, pass } from './check-result.ts';
import { numGenerated, numRunning } from './engine-load.ts';
import { chat, type OriginClient, streamChat, type StreamEnd } from './origin-client.ts';

/** Tokens of a generation that must still run when it is aborted; an engine makes 10 to 300 a second. */
const LONG_TOKENS = 4096;
/** Left for the prompt when the context is short. */
const PROMPT_TOKENS = 64;
/** A step of a large model under load takes less, and an abort is seen between two steps. */
const FREED_MS_MAX = 5_000;
const STARTED_MS_MAX = 30_000;
/** The long generation, when it cannot be aborted. */
const FINISHED_MS_MAX = 120_000;
const POLL_MS = 20;
const COUNT = [{ role: 'user', content: 'Count upwards from one, one number a line, and never stop.' }];

function longTokens({ contextLength }: CheckContext): number {
  return contextLength === null ? LONG_TOKENS : Math.min(LONG_TOKENS, contextLength - PROMPT_TOKENS);
}

/** Polls until `isReached`; null when that takes too long, else the milliseconds it took. */
async function waitForRunning(
  context: CheckContext,
  isReached: (running: number) => boolean,
  maxMs: number,
): Promise<number | null> {
  const startedMs = performance.now();
  for (;;) {
    const running = await numRunning(context.client, context.engine);
    const elapsedMs = performance.now() - startedMs;
    if (running !== null && isReached(running)) {
      return elapsedMs;
    }
    if (elapsedMs > maxMs) {
      return null;
    }
    await sleep(POLL_MS);
  }
}

type Start = typeof chat | typeof streamUntil;

const streamUntil = (client: OriginClient, body: object, signal?: AbortSignal): Promise<StreamEnd> =>
  streamChat(client, body, signal === undefined ? {} : { signal });

async function checkAbort(context: CheckContext, start: Start): Promise<CheckResult> {
  const { client, engine } = context;
  const maxTokens = longTokens(context);
  const [before, generatedBefore] = await Promise.all([numRunning(client, engine), numGenerated(client, engine)]);
  if (before === null) {
    return notApplicable('the engine does not tell how many requests run; it needs /metrics, or /slots of llama.cpp');
  }
  const leaving = new AbortController();
  let hasEnded = false;
  const body = { messages: COUNT, max_tokens: maxTokens, ignore_eos: true, temperature: 0 };
  const request = start(client, body, leaving.signal).then(
    () => {
      hasEnded = true;
    },
    () => {},
  );
  const startedMs = await waitForRunning(context, (running) => hasEnded || running > before, STARTED_MS_MAX);
  const endedByItself = hasEnded;
  leaving.abort();
  await request;
  if (endedByItself) {
    return notApplicable('the generation ended before it could be aborted; try a larger model or a longer context');
  }
  if (startedMs === null) {
    return fail('the request was never seen running', 'Run the check while nothing else uses the origin.');
  }
  const freedMs = await waitForRunning(context, (running) => running <= before, FREED_MS_MAX);
  // An engine that is free because it has made every token that was asked for has not noticed anything.
  const generated = ((await numGenerated(client, engine)) ?? 0) - (generatedBefore ?? 0);
  if (freedMs !== null && generated < maxTokens) {
    return pass(`free ${formatMs(freedMs)} after the client left`);
  }
  // The next check is to find the engine as this one did.
  await waitForRunning(context, (running) => running <= before, FINISHED_MS_MAX);
  return fail(
    freedMs === null
      ? `still at work ${formatMs(FREED_MS_MAX)} after the client left`
      : 'it worked on to the last token',
    'Something between here and the engine keeps the connection open: a router or proxy. Reach the engine without it.',
  );
}

export const ABORT_CHECKS: readonly Check[] = [
  { name: 'abort, streaming', run: (context) => checkAbort(context, streamUntil) },
  {
    name: 'abort, not streaming',
    run: async (context) => {
      const result = await checkAbort(context, chat);
      return result.outcome === 'fail' && context.engine === 'llama.cpp'
        ? notApplicable(`llama.cpp: ${result.detail}; harmless behind the gateway, which always streams`)
        : result;
    },
  },
];
