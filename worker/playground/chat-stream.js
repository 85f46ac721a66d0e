/**
 * Reads a streaming chat answer: the text of server-sent events in, pieces of the answer out.
 * @module
 */

/**
 * Cuts a body into the data of its events. Comments, which keep a silent stream alive, are skipped.
 * @param {ReadableStream<Uint8Array>} body
 * @returns {AsyncGenerator<string>}
 */
export async function* eventData(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let held = '';
  for (;;) {
    const { done, value } = await reader.read();
    if (done) {
      return;
    }
    held += value;
    const lines = held.split('\n');
    held = lines.pop() ?? '';
    for (const line of lines) {
      if (line.startsWith('data: ')) {
        yield line.slice('data: '.length);
      }
    }
  }
}

/**
 * Asks for a chat answer.
 * @param {{ apiKey: string, body: object, signal: AbortSignal }} request
 * @returns {AsyncGenerator<{ text: string } | { usage: { completion_tokens: number } }>}
 * @throws {Error} with the server's own message when it refuses, fails, or breaks off.
 */
export async function* streamChat({ apiKey, body, signal }) {
  const response = await fetch('/v1/chat/completions', {
    method: 'POST',
    headers: { 'content-type': 'application/json', authorization: `Bearer ${apiKey}` },
    body: JSON.stringify({ ...body, stream: true, stream_options: { include_usage: true } }),
    signal,
  });
  if (!response.ok || response.body === null) {
    throw await errorOf(response);
  }
  for await (const data of eventData(response.body)) {
    if (data === '[DONE]') {
      return;
    }
    const event = JSON.parse(data);
    if (event.error) {
      throw new Error(event.error.message);
    }
    if (event.usage) {
      yield { usage: event.usage };
    }
    const text = event.choices[0]?.delta.content;
    if (text) {
      yield { text };
    }
  }
  throw new Error('The answer broke off. Send the message again.');
}

/** What the server says when it refuses: in its own words, with the field that it means. */
export class ApiError extends Error {
  name = 'ApiError';

  /** @param {string} message @param {{ param: string | null, code: string | null }} details */
  constructor(message, { param, code }) {
    super(message);
    this.param = param;
    this.code = code;
  }
}

/**
 * @param {Response} response
 * @returns {Promise<ApiError>}
 */
export async function errorOf(response) {
  const error = (await response.json().catch(() => null))?.error;
  const message = error?.message ?? `The server answered with status ${response.status}. Try again in a moment.`;
  return new ApiError(message, { param: error?.param ?? null, code: error?.code ?? null });
}
