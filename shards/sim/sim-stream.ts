/** The byte stream of a generation on its way from a head shard to a client: what an RPC that returns a stream gives. */
import type { SimNetwork } from './network.ts';
import type { SimProcess } from './process.ts';

/** Pieces on their way or not taken yet; then the sender waits, as the flow control of the runtime makes it. */
const PIECES_IN_FLIGHT_MAX = 8;

/** How long a network that swallows everything is believed in. */
const BROKEN_NOTICE_MS = 15_000;

export interface StreamRoute {
  readonly network: SimNetwork;
  readonly from: SimProcess;
  readonly to: SimProcess;
  /** True time after which the connection breaks by itself; null when it does not. */
  readonly cutAfterMs: number | null;
}

/** @returns the end of the stream that is read in the process `to`. */
export function carryStream(source: ReadableStream<Uint8Array>, route: StreamRoute): ReadableStream<Uint8Array> {
  return new StreamCarrier(source, route).readable;
}

class StreamCarrier {
  readonly readable: ReadableStream<Uint8Array>;
  readonly #reader: ReadableStreamDefaultReader<Uint8Array>;
  readonly #route: StreamRoute;
  readonly #arrived: Uint8Array[] = [];
  readonly #forgetDeath: () => void;
  #controller: ReadableStreamDefaultController<Uint8Array> | null = null;
  #numCredits = PIECES_IN_FLIGHT_MAX;
  #isWanted = false;
  #isEnded = false;
  #isPumping = false;
  /** Something on it was lost: nothing that comes later arrives. */
  #isBroken = false;
  #lastArrivalMs = 0;

  constructor(source: ReadableStream<Uint8Array>, route: StreamRoute) {
    this.#route = route;
    this.#reader = source.getReader();
    this.readable = new ReadableStream(
      {
        start: (controller) => {
          this.#controller = controller;
        },
        pull: () => this.#onPull(),
        cancel: () => this.#cancel(),
      },
      { highWaterMark: 0 },
    );
    const { network, from, cutAfterMs } = route;
    this.#forgetDeath = from.onKilled((reason) => {
      if (network.isDeathNoticed()) {
        this.#toReader('stream breaks', () => this.#fail(reason));
      }
    });
    if (cutAfterMs !== null) {
      network.after(cutAfterMs, 'a stream is cut', () => this.#cut());
    }
    this.#pump();
  }

  /** Whatever arrives at the reader arrives in order. */
  #toReader(label: string, callback: () => void): void {
    const { network, from, to } = this.#route;
    if (this.#isBroken || !this.#isReachable()) {
      return;
    }
    this.#lastArrivalMs = Math.max(network.nowMs + from.busyMs + network.latency(), this.#lastArrivalMs);
    to.deliver(this.#lastArrivalMs - network.nowMs, label, callback);
  }

  #pump(): void {
    if (this.#isPumping || this.#numCredits === 0 || !this.#route.from.isAlive) {
      return;
    }
    this.#isPumping = true;
    this.#numCredits--;
    this.#reader.read().then(
      ({ done, value }) => {
        this.#isPumping = false;
        if (done) {
          this.#forgetDeath();
          this.#toReader('end of stream', () => this.#end());
        } else {
          const copy = value.slice();
          this.#toReader(`piece of ${copy.length}`, () => this.#arrive(copy));
          this.#pump();
        }
      },
      () => this.#toReader('stream breaks', () => this.#fail('the stream broke off')),
    );
  }

  #arrive(piece: Uint8Array): void {
    this.#arrived.push(piece);
    this.#hand();
  }

  #onPull(): void {
    this.#isWanted = true;
    this.#hand();
  }

  #hand(): void {
    const controller = this.#controller;
    if (controller === null || !this.#isWanted) {
      return;
    }
    const piece = this.#arrived.shift();
    if (piece !== undefined) {
      this.#isWanted = false;
      this.#toSender('stream credit', () => {
        this.#numCredits++;
        this.#pump();
      });
      controller.enqueue(piece);
    } else if (this.#isEnded) {
      this.#controller = null;
      controller.close();
    }
  }

  #end(): void {
    this.#isEnded = true;
    if (this.#arrived.length === 0) {
      this.#isWanted = true;
    }
    this.#hand();
  }

  #fail(reason: string): void {
    const controller = this.#controller;
    this.#controller = null;
    controller?.error(new Error(reason));
  }

  #cancel(): void {
    this.#controller = null;
    this.#forgetDeath();
    this.#toSender('stream is cancelled', () => void this.#reader.cancel());
  }

  #toSender(label: string, callback: () => void): void {
    const { network, from } = this.#route;
    if (!this.#isBroken && this.#isReachable()) {
      from.deliver(network.latency(), label, callback);
    }
  }

  /** A stream has no gaps: when a piece cannot pass, it ends, which both ends are told after a while. */
  #isReachable(): boolean {
    const { network, from, to } = this.#route;
    const isReachable = network.isReachable(from, to);
    if (!isReachable) {
      network.after(BROKEN_NOTICE_MS, 'a stream is given up', () => this.#cut());
      this.#isBroken = true;
    }
    return isReachable;
  }

  /** The connection breaks: the reader gets an error, the sender a cancellation. */
  #cut(): void {
    if (!this.#isEnded) {
      const { from, to, network } = this.#route;
      this.#forgetDeath();
      this.#isBroken = true;
      to.deliver(network.latency(), 'stream breaks', () => this.#fail('the connection was lost'));
      from.deliver(network.latency(), 'stream is cancelled', () => void this.#reader.cancel());
    }
  }
}
