/** A head whose object a test may reset: its streams fail where they are, and calls fail until it is back. */
import type { ReplicaHead } from '../../../shards/client/replica-head.ts';
import type { PromptPrefix, WarmPrefixRequest } from '../../../shards/engine/prefix-protocol.ts';
import type { GenerateRequest } from '../../../shards/engine/protocol.ts';

const NEWLINE = 0x0a;

export class CuttableHead implements ReplicaHead {
  readonly requests: GenerateRequest[] = [];
  readonly #head: ReplicaHead;
  #linesLeft = Infinity;

  constructor(head: ReplicaHead) {
    this.#head = head;
  }

  /** Dies after so many further lines of its streams, and stays dead. */
  dieAfter(numLines: number): void {
    this.#linesLeft = numLines;
  }

  revive(): void {
    this.#linesLeft = Infinity;
  }

  async generate(request: GenerateRequest): Promise<ReadableStream<Uint8Array>> {
    this.#throwIfDead();
    this.requests.push(request);
    const stream = await this.#head.generate(request);
    return stream.pipeThrough(
      new TransformStream<Uint8Array, Uint8Array>({
        transform: (chunk, controller) => {
          for (const [index, byte] of chunk.entries()) {
            if (byte === NEWLINE && --this.#linesLeft <= 0) {
              controller.enqueue(chunk.subarray(0, index + 1));
              controller.error(new Error('the object was reset'));
              return;
            }
          }
          controller.enqueue(chunk);
        },
      }),
    );
  }

  stats() {
    return this.#alive().stats();
  }

  warmPrefix(request: WarmPrefixRequest) {
    return this.#alive().warmPrefix(request);
  }

  unpinPrefix(prefix: PromptPrefix) {
    return this.#alive().unpinPrefix(prefix);
  }

  deleteTenant(cacheSalt: string) {
    return this.#alive().deleteTenant(cacheSalt);
  }

  drain() {
    return this.#alive().drain();
  }

  resume() {
    return this.#alive().resume();
  }

  #alive(): ReplicaHead {
    this.#throwIfDead();
    return this.#head;
  }

  #throwIfDead(): void {
    if (this.#linesLeft <= 0) {
      throw new Error('the object was reset');
    }
  }
}
