/** A client of the gateway's chat for tests with real origins: it reads an answer to its end, whatever that is. */
import { expect } from 'vitest';
import { tinyVocabulary } from '../../../ops/testing/tiny-vocabulary.ts';
import type { createGateway } from '../../gateway.ts';
import { post, sseData } from './http.ts';

/** The tiny model's answers end by their length alone. */
const { imEndId, endOfTextId } = tinyVocabulary();
export const ENDLESS = { logit_bias: { [imEndId]: -100, [endOfTextId]: -100 } };

export interface ClientsAnswer {
  readonly status: number;
  readonly text: string;
  readonly finishReason: string | null;
  /** `completion_tokens` of the usage; null without one. */
  readonly completionTokens: number | null;
  /** `code` of the error; null without one. */
  readonly error: string | null;
  readonly servedBy: string | null;
  /** Whether something without meaning came first, because the answer took long. */
  readonly isHeld: boolean;
}

interface ChatBody {
  readonly choices?: readonly {
    readonly message?: { readonly content: string };
    readonly delta?: { readonly content?: string | null };
    readonly finish_reason: string | null;
  }[];
  readonly usage?: { readonly completion_tokens: number } | null;
  readonly error?: { readonly code: string };
}

export interface Ask {
  readonly requestId: string;
  readonly isStream: boolean;
  readonly maxTokens: number;
  readonly cacheKey?: string;
  /** Called at each event of a stream, not at comments. */
  readonly onEvent?: () => void;
}

export async function askPro(app: ReturnType<typeof createGateway>, ask: Ask): Promise<ClientsAnswer> {
  const { requestId, isStream, maxTokens, cacheKey, onEvent = () => {} } = ask;
  const body = {
    model: 'lamina-pro',
    messages: [{ role: 'user', content: 'hello there' }],
    max_tokens: maxTokens,
    temperature: 0,
    ...ENDLESS,
    ...(cacheKey === undefined ? {} : { prompt_cache_key: cacheKey }),
    ...(isStream ? { stream: true, stream_options: { include_usage: true } } : {}),
  };
  const response = await post(app, '/v1/chat/completions', body, { 'x-request-id': requestId });
  const decoder = new TextDecoder();
  let received = '';
  for await (const part of response.body ?? []) {
    const text = decoder.decode(part, { stream: true });
    received += text;
    if (text.startsWith('data: ')) {
      onEvent();
    }
  }
  const isEvents = response.headers.get('content-type')?.startsWith('text/event-stream') === true;
  expect(isEvents).toBe(isStream && response.status === 200);
  const bodies = isEvents ? eventsOf(received) : [JSON.parse(received) as ChatBody];
  const choices = bodies.flatMap((part) => part.choices ?? []);
  return {
    status: response.status,
    text: choices.map(({ message, delta }) => message?.content ?? delta?.content ?? '').join(''),
    finishReason: choices.map(({ finish_reason: reason }) => reason).findLast((reason) => reason !== null) ?? null,
    completionTokens: bodies.at(-1)?.usage?.completion_tokens ?? null,
    error: bodies.at(-1)?.error?.code ?? null,
    servedBy: response.headers.get('x-lamina-served-by'),
    isHeld: /^(?: |: keep-alive)/.test(received),
  };
}

/** Either `[DONE]` is the last event, and there is no error; or the only error is the last event. */
function eventsOf(received: string): ChatBody[] {
  const data = sseData(received);
  const bodies = data.filter((text) => text !== '[DONE]').map((text) => JSON.parse(text) as ChatBody);
  const numErrors = bodies.filter(({ error }) => error !== undefined).length;
  expect(received.endsWith('\n\n')).toBe(true);
  expect(data.filter((text) => text === '[DONE]')).toHaveLength(1 - numErrors);
  expect(numErrors === 0 ? data.at(-1) : bodies.at(-1)).toEqual(
    numErrors === 0 ? '[DONE]' : { error: expect.objectContaining({ code: expect.any(String) }) },
  );
  return bodies;
}
