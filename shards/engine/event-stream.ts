import { ByteStream, type ByteStreamHandlers } from './byte-stream.ts';
import type { GenerateEvent } from './protocol.ts';

const encoder = new TextEncoder();

/** One sequence's events as newline-delimited JSON. The engine looks at `isFull` and pauses the sequence. */
export class EventStream {
  readonly #bytes: ByteStream;

  constructor(bytesMax: number, handlers: ByteStreamHandlers) {
    this.#bytes = new ByteStream(bytesMax, handlers);
  }

  get readable(): ReadableStream<Uint8Array> {
    return this.#bytes.readable;
  }

  get isFull(): boolean {
    return this.#bytes.isFull;
  }

  /** Does nothing once the stream has ended or its reader went away. */
  write(event: GenerateEvent): void {
    this.#bytes.write(encoder.encode(`${JSON.stringify(event)}\n`));
  }

  end(): void {
    this.#bytes.end();
  }
}
