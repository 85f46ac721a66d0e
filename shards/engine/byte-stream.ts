export interface ByteStreamHandlers {
  /** The reader took bytes: there is room again. */
  onDrained(): void;
  /** The reader went away. */
  onCancel(): void;
}

/**
 * What a head shard answers with: a byte stream, since only those cross a Durable Object's RPC. Writing never waits: the
 * writer looks at `isFull` and pauses, so what is buffered stays within `bytesMax` and one write.
 */
export class ByteStream {
  readonly readable: ReadableStream<Uint8Array>;
  #controller: ReadableByteStreamController | null = null;

  constructor(bytesMax: number, handlers: ByteStreamHandlers) {
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

  /** Takes the bytes' buffer. Does nothing once the stream has ended or its reader went away. */
  write(bytes: Uint8Array): void {
    this.#controller?.enqueue(bytes as Uint8Array<ArrayBuffer>);
  }

  end(): void {
    this.#controller?.close();
    this.#controller = null;
  }
}
