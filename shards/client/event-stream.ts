/** Reads the newline-delimited JSON stream of a head shard. */
import type { GenerateEvent } from '../engine/protocol.ts';

/**
 * Longest line. The largest event reports a whole prompt's log-probabilities: 8192 tokens with 20 alternatives of about
 * 32 bytes each and some 64 bytes of their own are 5.8 MB.
 */
export const EVENT_LINE_BYTES_MAX = 8 * 1024 * 1024;

const NEWLINE = 0x0a;

/** The stream broke off, or what came is not an event. */
export class EventStreamError extends Error {
  override readonly name = 'EventStreamError';
}

/**
 * Yields the events of `stream`. Ends with the stream, or quietly when `signal` is aborted; leaving the loop early or
 * aborting cancels the stream, which stops the sequence in the engine.
 * @throws EventStreamError when a line is too long or no event; whatever the stream itself fails with.
 */
export async function* readEvents(
  stream: ReadableStream<Uint8Array>,
  signal: AbortSignal,
  lineBytesMax: number = EVENT_LINE_BYTES_MAX,
): AsyncGenerator<GenerateEvent, void, undefined> {
  for await (const line of readLines(stream, signal, lineBytesMax)) {
    yield parseEvent(line);
  }
}

/**
 * Yields the lines of `stream` without their ends; ends and is left as `readEvents`.
 * @throws EventStreamError when a line is too long or the last one is cut; whatever the stream itself fails with.
 */
export async function* readLines(
  stream: ReadableStream<Uint8Array>,
  signal: AbortSignal,
  lineBytesMax: number = EVENT_LINE_BYTES_MAX,
): AsyncGenerator<string, void, undefined> {
  const reader = stream.getReader();
  // Cancelling an errored stream rejects with its error, which the pending read reports already.
  const cancel = (): void => void reader.cancel().catch(() => {});
  signal.addEventListener('abort', cancel);
  const lines = new LineSplitter(lineBytesMax);
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (signal.aborted) {
        return;
      }
      if (done) {
        break;
      }
      yield* lines.push(value);
    }
    if (lines.heldBytes > 0) {
      throw new EventStreamError('the event stream ended inside a line');
    }
  } finally {
    signal.removeEventListener('abort', cancel);
    cancel();
  }
}

/** Cuts byte pieces into lines without copying a long line again for every piece of it. */
class LineSplitter {
  readonly #lineBytesMax: number;
  #held: Uint8Array[] = [];
  heldBytes = 0;

  constructor(lineBytesMax: number) {
    this.#lineBytesMax = lineBytesMax;
  }

  *push(piece: Uint8Array): Generator<string> {
    let start = 0;
    for (let end = piece.indexOf(NEWLINE); end >= 0; end = piece.indexOf(NEWLINE, start)) {
      this.#hold(piece.subarray(start, end));
      yield this.#takeLine();
      start = end + 1;
    }
    // A copy, since the stream may reuse the piece's buffer.
    this.#hold(piece.slice(start));
  }

  #hold(bytes: Uint8Array): void {
    this.heldBytes += bytes.length;
    if (this.heldBytes > this.#lineBytesMax) {
      throw new EventStreamError(`an event is longer than ${this.#lineBytesMax} bytes`);
    }
    if (bytes.length > 0) {
      this.#held.push(bytes);
    }
  }

  #takeLine(): string {
    const decoder = new TextDecoder();
    const line = this.#held.map((bytes) => decoder.decode(bytes, { stream: true })).join('') + decoder.decode();
    this.#held = [];
    this.heldBytes = 0;
    return line;
  }
}

/** The engine is trusted, a broken transport is not: what is checked is that the line is a whole event. */
function parseEvent(line: string): GenerateEvent {
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch {
    throw new EventStreamError('a line of the event stream is not JSON');
  }
  if (isRecord(value) && isEvent(value)) {
    return value as unknown as GenerateEvent;
  }
  throw new EventStreamError('a line of the event stream is not an event');
}

function isEvent(value: Readonly<Record<string, unknown>>): boolean {
  switch (value['type']) {
    case 'accepted':
      return isLoad(value['load']) && isCount(value['nextWithinMs']);
    case 'alive':
      return isCount(value['nextWithinMs']);
    case 'prompt':
      return Array.isArray(value['logprobs']);
    case 'token':
      return Number.isSafeInteger(value['tokenId']);
    case 'finish':
      return value['reason'] === 'stop' || value['reason'] === 'length';
    case 'error':
      return typeof value['code'] === 'string' && typeof value['message'] === 'string';
    default:
      return false;
  }
}

const isLoad = (value: unknown): boolean =>
  isRecord(value) && isCount(value['numRunning']) && isCount(value['numWaiting']);

const isCount = (value: unknown): boolean => Number.isSafeInteger(value) && (value as number) >= 0;

const isRecord = (value: unknown): value is Record<string, unknown> => typeof value === 'object' && value !== null;
