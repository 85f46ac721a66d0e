/** Calls to an origin as the gateway makes them, with nothing hidden: what came, and how it ended. */
import { createParser } from 'eventsource-parser';
import { bearer } from '../describe-origin.ts';

/** Longest wait for any single answer; a check that waits longer has found its fault. */
const ANSWER_MS_MAX = 60_000;

export interface OriginClient {
  /** Without a path. */
  readonly url: string;
  readonly key: string | null;
  /** What the origin calls the model. */
  readonly model: string;
}

export interface Answer {
  readonly status: number;
  /** Parsed, or null when it is no JSON. */
  readonly body: Readonly<Record<string, unknown>> | null;
  readonly text: string;
}

function signalOf(signal?: AbortSignal): AbortSignal {
  const limit = AbortSignal.timeout(ANSWER_MS_MAX);
  return signal === undefined ? limit : AbortSignal.any([signal, limit]);
}

async function readAnswer(response: Response): Promise<Answer> {
  const text = await response.text();
  let body: Answer['body'] = null;
  try {
    body = JSON.parse(text) as Record<string, unknown>;
  } catch {
    // Metrics and health are plain text.
  }
  return { status: response.status, body, text };
}

export async function get(client: OriginClient, route: string): Promise<Answer> {
  const headers = bearer(client.key);
  return readAnswer(await fetch(`${client.url}${route}`, { headers, signal: signalOf() }));
}

function post(client: OriginClient, body: object, signal?: AbortSignal): Promise<Response> {
  return fetch(`${client.url}/v1/chat/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...bearer(client.key) },
    body: JSON.stringify({ model: client.model, ...body }),
    signal: signalOf(signal),
  });
}

export async function chat(client: OriginClient, body: object, signal?: AbortSignal): Promise<Answer> {
  return readAnswer(await post(client, body, signal));
}

export interface StreamEnd {
  readonly status: number;
  /** What came before the head of the answer turned out to be no stream. */
  readonly text: string;
  readonly numChunks: number;
  readonly finishReasons: readonly string[];
  readonly usage: Readonly<Record<string, unknown>> | null;
  /** Whether `data: [DONE]` came. */
  readonly isDone: boolean;
}

interface Chunk {
  readonly choices?: readonly { readonly finish_reason?: string | null }[];
  readonly usage?: Readonly<Record<string, unknown>> | null;
}

/** Streams a chat to its end. `onChunk` gets the number of chunks so far. */
export async function streamChat(
  client: OriginClient,
  body: object,
  options: { readonly signal?: AbortSignal; readonly onChunk?: (numChunks: number) => void } = {},
): Promise<StreamEnd> {
  const streamOptions = { stream: true, stream_options: { include_usage: true } };
  const response = await post(client, { ...body, ...streamOptions }, options.signal);
  const end = { numChunks: 0, finishReasons: [] as string[], usage: null as StreamEnd['usage'], isDone: false };
  if (!response.ok || response.body === null) {
    return { ...end, status: response.status, text: await response.text() };
  }
  const parser = createParser({
    onEvent: ({ data }) => {
      if (data === '[DONE]') {
        end.isDone = true;
        return;
      }
      const chunk = JSON.parse(data) as Chunk;
      end.numChunks += 1;
      end.usage = chunk.usage ?? end.usage;
      end.finishReasons.push(...(chunk.choices ?? []).flatMap((choice) => choice.finish_reason ?? []));
      options.onChunk?.(end.numChunks);
    },
  });
  const decoder = new TextDecoder();
  for await (const bytes of response.body) {
    parser.feed(decoder.decode(bytes, { stream: true }));
  }
  return { ...end, status: response.status, text: '' };
}
