/** Types of `chat-stream.js`, which browsers load as it is. */
export function eventData(body: ReadableStream<Uint8Array>): AsyncGenerator<string>;
