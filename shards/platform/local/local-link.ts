/** Two ends of a link inside one process. Frames are delivered in later turns of the event loop, as a network would. */
import type { Clock } from '../clock.ts';
import type { FrameLink, LinkHandlers } from '../link.ts';

type LinkEvent = { readonly frame: Uint8Array<ArrayBuffer> } | { readonly closeReason: string };

class LocalLinkEnd implements FrameLink {
  peer: LocalLinkEnd | null = null;
  readonly #clock: Clock;
  #handlers: LinkHandlers | null = null;
  #arrived: LinkEvent[] = [];
  #closed = false;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  attach(handlers: LinkHandlers): void {
    this.#handlers = handlers;
    this.#deliver();
  }

  send(bytes: Uint8Array<ArrayBuffer>): void {
    if (!this.#closed) {
      // A copy: the receiver of a real link never shares memory with the sender.
      this.#arriveLater(this.peer, { frame: bytes.slice() });
    }
  }

  close(reason: string): void {
    if (this.#closed) {
      return;
    }
    this.#closed = true;
    this.#arrived = [];
    this.#arriveLater(this.peer, { closeReason: reason });
    this.#arriveLater(this, { closeReason: reason });
  }

  #arriveLater(end: LocalLinkEnd | null, event: LinkEvent): void {
    void this.#clock.yieldToEvents().then(() => end?.arrive(event));
  }

  arrive(event: LinkEvent): void {
    this.#arrived.push(event);
    this.#deliver();
  }

  #deliver(): void {
    while (this.#handlers !== null) {
      const event = this.#arrived.shift();
      if (event === undefined) {
        return;
      }
      if ('closeReason' in event) {
        this.#closed = true;
        const handlers = this.#handlers;
        this.#handlers = null;
        handlers.onClose(event.closeReason);
      } else if (!this.#closed) {
        this.#handlers.onFrame(event.frame);
      }
    }
  }
}

export function createLocalLinkPair(clock: Clock): [FrameLink, FrameLink] {
  const left = new LocalLinkEnd(clock);
  const right = new LocalLinkEnd(clock);
  left.peer = right;
  right.peer = left;
  return [left, right];
}
