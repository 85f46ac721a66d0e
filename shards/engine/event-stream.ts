import type { GenerateEvent } from './protocol.ts';

export interface EventStreamHandlers {
  /** The reader took events: there is room again. */
  onDrained(): void;
  /** The reader went away. */
  onCancel(): void;
}

const encoder = new TextEncoder();

/**
 * One sequence's events as newline-delimited JSON. A byte stream, since only those cross a Durable Object's RPC.
 * Writing never waits: the engine looks at `isFull` and pauses the sequence, so what is buffered stays within
 * `bytesMax` and one event.
 */
export class EventStream {
  readonly readable: ReadableStream<Uint8Array>;
  #controller: ReadableByteStreamController | null = null;

  constructor(bytesMax: number, handlers: EventStreamHandlers) {
    this.readable = new ReadableStream(
      {
        type: 'bytes',
        start: (controller) => {
          this.#controller = controller;
        },
        pull: () => handlers.onDrained(),
        cancel: () => {
          this.#controller = null;
          handlers.onCancel();
        },
      },
      { highWaterMark: bytesMax },
    );
  }

  get isFull(): boolean {
    return this.#controller !== null && (this.#controller.desiredSize ?? 0) <= 0;
  }

  /** Does nothing once the stream has ended or its reader went away. */
  write(event: GenerateEvent): void {
    this.#controller?.enqueue(encoder.encode(`${JSON.stringify(event)}\n`));
  }

  end(): void {
    this.#controller?.close();
    this.#controller = null;
  }
}
