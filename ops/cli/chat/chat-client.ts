/** The least of an OpenAI client that a terminal chat needs: the list of models, and a chat as a stream of text. */
import { EventSourceParserStream } from 'eventsource-parser/stream';
import { messageOf, OperatorError } from '../../support/operator-error.ts';

export interface ChatMessage {
  readonly role: 'system' | 'user' | 'assistant';
  readonly content: string;
}

export interface ChatServer {
  /** Base URL, with or without `/v1`. */
  readonly url: string;
  readonly key: string;
}

/** What is asked of the model, whatever the message. */
export interface ChatSettings {
  readonly model: string;
  /** Absent: the model's own. */
  readonly temperature?: number;
  /** Absent: as many as the server allows. */
  readonly max_tokens?: number;
}

export type ChatEvent =
  | { readonly type: 'text'; readonly text: string }
  | { readonly type: 'end'; readonly finishReason: string | null; readonly completionTokens: number | null };

/** Longest part of an error's body that is shown. */
const ERROR_CHARS_MAX = 400;

function endpoint(server: ChatServer, route: string): string {
  const base = server.url.replace(/\/+$/, '');
  return `${base.endsWith('/v1') ? base : `${base}/v1`}${route}`;
}

/** The message inside an error answer in OpenAI's shape, else the beginning of whatever came. */
function errorText(status: number, body: string): string {
  try {
    const parsed = JSON.parse(body) as { error?: { message?: unknown } };
    if (typeof parsed.error?.message === 'string') {
      return `${parsed.error.message} (HTTP ${status})`;
    }
  } catch {
    // Not JSON: shown as it is.
  }
  return `HTTP ${status}${body === '' ? '' : `: ${body.slice(0, ERROR_CHARS_MAX)}`}`;
}

async function request(server: ChatServer, route: string, init: RequestInit): Promise<Response> {
  let response: Response;
  try {
    response = await fetch(endpoint(server, route), {
      ...init,
      headers: { authorization: `Bearer ${server.key}`, 'content-type': 'application/json' },
    });
  } catch (error) {
    if (init.signal?.aborted === true) {
      throw error;
    }
    throw new OperatorError(
      'request_failed',
      `${server.url} does not answer: ${messageOf(error)}.`,
      'Start the platform with "npm start", or give the address of another server with --url.',
    );
  }
  if (!response.ok) {
    throw new OperatorError('request_failed', errorText(response.status, await response.text()));
  }
  return response;
}

/** Name of the first model that the server lists. */
export async function firstModel(server: ChatServer): Promise<string> {
  const response = await request(server, '/models', { method: 'GET' });
  const list = (await response.json()) as { data?: readonly { id?: unknown }[] };
  const id = list.data?.[0]?.id;
  if (typeof id !== 'string') {
    throw new OperatorError('request_failed', `${server.url} lists no models.`, 'Name one with --model.');
  }
  return id;
}

interface ChatChunk {
  readonly choices?: readonly {
    readonly delta?: { readonly content?: string | null };
    readonly finish_reason?: string | null;
  }[];
  readonly usage?: { readonly completion_tokens?: number } | null;
  readonly error?: { readonly message?: string };
}

/**
 * Streams one answer. Aborting the signal ends the request, which the server notices; the generator then throws.
 * Throws `request_failed` when the server refuses or breaks off.
 */
export async function* streamChat(
  server: ChatServer,
  settings: ChatSettings,
  messages: readonly ChatMessage[],
  signal: AbortSignal,
): AsyncGenerator<ChatEvent> {
  const response = await request(server, '/chat/completions', {
    method: 'POST',
    body: JSON.stringify({ ...settings, messages, stream: true, stream_options: { include_usage: true } }),
    signal,
  });
  let finishReason: string | null = null;
  let completionTokens: number | null = null;
  const events = response.body?.pipeThrough(new TextDecoderStream()).pipeThrough(new EventSourceParserStream());
  for await (const event of events ?? []) {
    if (event.data === '[DONE]') {
      break;
    }
    const chunk = JSON.parse(event.data) as ChatChunk;
    if (chunk.error !== undefined) {
      throw new OperatorError('request_failed', chunk.error.message ?? 'The server broke off the answer.');
    }
    const choice = chunk.choices?.[0];
    finishReason = choice?.finish_reason ?? finishReason;
    completionTokens = chunk.usage?.completion_tokens ?? completionTokens;
    const text = choice?.delta?.content ?? '';
    if (text !== '') {
      yield { type: 'text', text };
    }
  }
  yield { type: 'end', finishReason, completionTokens };
}
