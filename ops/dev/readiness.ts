/**
 * Waits until the platform really answers: a chat of one token, through the gateway and round the ring. It makes every
 * stage load its weights, so the first request of a user does not have to.
 */
import { formatMs } from '../support/format.ts';
import { messageOf, OperatorError } from '../support/operator-error.ts';
import { LITE_MODEL_ID } from '../plan/topology.ts';

/** Weights load in well under a second per stage; a slow disk and a busy machine may need much more. */
export const READY_TIMEOUT_MS = 120_000;

/** How much of an error's body is worth showing. */
const BODY_CHARS_MAX = 500;

async function post(url: URL, route: string, body: object, signal: AbortSignal): Promise<Response> {
  return fetch(new URL(route, url), {
    method: 'POST',
    headers: { 'content-type': 'application/json', authorization: 'Bearer sk-local' },
    body: JSON.stringify({ model: LITE_MODEL_ID, max_tokens: 1, temperature: 0, ...body }),
    signal,
  });
}

/** Whether the refusal means that the model has no chat template, so that it can be completed with but not chatted. */
function lacksChatTemplate(status: number, body: string): boolean {
  return status === 400 && /chat.?template/i.test(body);
}

/** Resolves once an answer has come; throws `runtime_failed` with what the platform said otherwise. */
export async function waitUntilReady(url: URL, timeoutMs: number = READY_TIMEOUT_MS): Promise<void> {
  const signal = AbortSignal.timeout(timeoutMs);
  let problem: string;
  try {
    const chat = await post(url, '/v1/chat/completions', { messages: [{ role: 'user', content: 'Hi' }] }, signal);
    const body = await chat.text();
    if (chat.ok) {
      return;
    }
    problem = `HTTP ${chat.status}: ${body.slice(0, BODY_CHARS_MAX)}`;
    if (lacksChatTemplate(chat.status, body)) {
      const completion = await post(url, '/v1/completions', { prompt: 'Hi' }, signal);
      if (completion.ok) {
        return;
      }
      problem = `HTTP ${completion.status}: ${(await completion.text()).slice(0, BODY_CHARS_MAX)}`;
    }
  } catch (error) {
    problem = signal.aborted ? `no answer for ${formatMs(timeoutMs)}` : messageOf(error);
  }
  throw new OperatorError(
    'runtime_failed',
    `The platform has started but does not answer a chat: ${problem}`,
    'Run the command again with LAMINA_DEBUG=1 for the log of the runtime.',
  );
}
