/** A head that stops in the middle of its answers until a test lets it go on, so that something can happen there. */
import { readLines } from '../../../shards/client/event-stream.ts';
import type { ReplicaHead } from '../../../shards/client/replica-head.ts';
import type { PromptPrefix, WarmPrefixRequest } from '../../../shards/engine/prefix-protocol.ts';
import type { GenerateRequest } from '../../../shards/engine/protocol.ts';

export class GatedHead implements ReplicaHead {
  readonly requests: GenerateRequest[] = [];
  readonly #head: ReplicaHead;
  #numEventsMax = Infinity;
  #open = (): void => {};
  #opened: Promise<void> = Promise.resolve();

  constructor(head: ReplicaHead) {
    this.#head = head;
  }

  /** Each answer that begins from now on stops after so many events. */
  close(numEvents: number): void {
    this.#numEventsMax = numEvents;
    this.#opened = new Promise((resolve) => {
      this.#open = resolve;
    });
  }

  open(): void {
    this.#numEventsMax = Infinity;
    this.#open();
  }

  async generate(request: GenerateRequest): Promise<ReadableStream<Uint8Array>> {
    this.requests.push(request);
    const numEventsMax = this.#numEventsMax;
    const opened = this.#opened;
    const stop = new AbortController();
    const lines = readLines(await this.#head.generate(request), stop.signal);
    const encoder = new TextEncoder();
    let numEvents = 0;
    return new ReadableStream(
      {
        async pull(controller) {
          if (numEvents++ >= numEventsMax) {
            await opened;
          }
          const line = await lines.next();
          if (line.done === true) {
            controller.close();
          } else {
            controller.enqueue(encoder.encode(`${line.value}\n`));
          }
        },
        cancel: () => stop.abort(),
      },
      { highWaterMark: 0 },
    );
  }

  stats() {
    return this.#head.stats();
  }

  warmPrefix(request: WarmPrefixRequest) {
    return this.#head.warmPrefix(request);
  }

  unpinPrefix(prefix: PromptPrefix) {
    return this.#head.unpinPrefix(prefix);
  }

  deleteTenant(cacheSalt: string) {
    return this.#head.deleteTenant(cacheSalt);
  }

  drain() {
    return this.#head.drain();
  }

  resume() {
    return this.#head.resume();
  }
}
