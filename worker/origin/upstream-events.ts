/** An origin's answer as it comes: server-sent events with JSON in them, read with bounds and without trust. */
import { createParser } from 'eventsource-parser';
import { unlessAborted } from '../../shards/client/abort.ts';

/** Longest event, in characters: a chunk of text is some hundred bytes, one with top log-probabilities some ten kilobytes. */
export const EVENT_LENGTH_MAX = 1024 * 1024;

/** Longest body that is read whole: an image in base64, or the embeddings of a batch. */
export const BODY_BYTES_MAX = 32 * 1024 * 1024;

/** What the origin sent is not what was asked for. */
export class UpstreamFormatError extends Error {
  override readonly name = 'UpstreamFormatError';
}

export type UpstreamEvent =
  { readonly type: 'data'; readonly value: Record<string, unknown> } | { readonly type: 'done' };

/**
 * Events up to `[DONE]` or the end of the body, whichever is first. Comments are skipped, lines of no known field are not:
 * an engine sends none, a broken proxy does.
 * @throws UpstreamFormatError; AbortedError; what reading the body throws.
 */
export async function* readUpstreamEvents(
  body: ReadableStream<Uint8Array>,
  signal: AbortSignal,
): AsyncGenerator<UpstreamEvent, void, undefined> {
  const reader = body.getReader();
  const decoder = new TextDecoder();
  let events: UpstreamEvent[] = [];
  const state: { failure: UpstreamFormatError | null } = { failure: null };
  let bufferedLength = 0;
  const parser = createParser({
    onEvent: ({ data, event }) => {
      bufferedLength = 0;
      if (state.failure !== null) {
        return;
      }
      try {
        events.push(parseEvent(data, event));
      } catch (error) {
        state.failure = error as UpstreamFormatError;
      }
    },
    onComment: () => {
      bufferedLength = 0;
    },
    onError: ({ type }) => {
      state.failure ??=
        type === 'invalid-retry' ? null : new UpstreamFormatError('the stream has lines that are no events');
    },
  });
  try {
    for (;;) {
      const { done, value } = await unlessAborted(reader.read(), signal, () => {});
      bufferedLength += value?.byteLength ?? 0;
      parser.feed(decoder.decode(value, { stream: !done }));
      if (bufferedLength > EVENT_LENGTH_MAX) {
        state.failure ??= new UpstreamFormatError(`an event is longer than ${EVENT_LENGTH_MAX} bytes`);
      }
      const ready = events;
      events = [];
      for (const event of ready) {
        yield event;
        if (event.type === 'done') {
          return;
        }
      }
      if (state.failure !== null) {
        throw state.failure;
      }
      if (done) {
        return;
      }
    }
  } finally {
    // Not awaited: of an origin that hangs, no answer to it may come.
    reader.cancel().catch(() => {});
  }
}

function parseEvent(data: string, event: string | undefined): UpstreamEvent {
  if (data === '[DONE]') {
    return { type: 'done' };
  }
  const value = parseObject(data);
  if (event === 'error' && value['error'] === undefined) {
    return { type: 'data', value: { error: value } };
  }
  return { type: 'data', value };
}

/** @throws UpstreamFormatError when the text is no JSON object. */
export function parseObject(text: string): Record<string, unknown> {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw new UpstreamFormatError(`it is not JSON: ${JSON.stringify(text.slice(0, 80))}`);
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new UpstreamFormatError('it is not a JSON object');
  }
  return value as Record<string, unknown>;
}

/** @throws UpstreamFormatError when it is longer than `bytesMax`; AbortedError; what reading throws. */
export async function readText(response: Response, signal: AbortSignal, bytesMax = BODY_BYTES_MAX): Promise<string> {
  if (response.body === null) {
    return '';
  }
  const reader = (response.body as ReadableStream<Uint8Array>).getReader();
  const decoder = new TextDecoder();
  let text = '';
  let numBytes = 0;
  try {
    for (;;) {
      const { done, value } = await unlessAborted(reader.read(), signal, () => {});
      text += decoder.decode(value, { stream: !done });
      numBytes += value?.byteLength ?? 0;
      if (done) {
        return text;
      }
      if (numBytes > bytesMax) {
        throw new UpstreamFormatError(`the body is longer than ${bytesMax} bytes`);
      }
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}
