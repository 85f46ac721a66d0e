/** A WebSocket between two processes of a simulation, as far as the engine sees one, and what a network does to it. */
import type { FrameLink, LinkHandlers } from '../platform/link.ts';
import type { SimNetwork } from './network.ts';
import type { SimProcess } from './process.ts';

type Arrival = { readonly frame: Uint8Array<ArrayBuffer> } | { readonly closeReason: string };

/** Written over what was sent: the link owns it, so a sender that looks at it again gets nonsense. */
const SENT_FILL = 0xee;

export class SimLinkEnd implements FrameLink {
  readonly #network: SimNetwork;
  readonly #process: SimProcess;
  #peer: SimLinkEnd | null = null;
  #handlers: LinkHandlers | null = null;
  #arrivals: Arrival[] = [];
  #isClosed = false;
  /** True time at which the last frame that keeps its place in the order arrives at the peer. */
  #lastArrivalMs = 0;
  #forgetDeath: () => void = () => {};

  constructor(network: SimNetwork, process: SimProcess) {
    this.#network = network;
    this.#process = process;
  }

  /** Two ends, each in its process. */
  static pair(network: SimNetwork, near: SimProcess, far: SimProcess): [SimLinkEnd, SimLinkEnd] {
    const ends: [SimLinkEnd, SimLinkEnd] = [new SimLinkEnd(network, near), new SimLinkEnd(network, far)];
    ends[0].#join(ends[1]);
    ends[1].#join(ends[0]);
    return ends;
  }

  #join(peer: SimLinkEnd): void {
    this.#peer = peer;
    this.#forgetDeath = this.#process.onKilled((reason) => {
      this.#isClosed = true;
      if (this.#network.isDeathNoticed()) {
        this.#arriveAtPeer(this.#network.latency(), { closeReason: reason });
      }
    });
  }

  attach(handlers: LinkHandlers): void {
    this.#handlers = handlers;
    this.#dispatch();
  }

  send(bytes: Uint8Array<ArrayBuffer>): void {
    const peer = this.#peer;
    if (this.#isClosed || peer === null || !this.#process.isAlive) {
      return;
    }
    const frame = bytes.slice();
    bytes.fill(SENT_FILL);
    if (!this.#network.isReachable(this.#process, peer.#process)) {
      return;
    }
    const { fault, delayMs } = this.#network.decideFrame();
    if (fault === 'drop') {
      return;
    }
    if (fault === 'cut') {
      this.cut('the connection was lost');
      return;
    }
    if (fault === 'corrupt') {
      this.#network.corrupt(frame);
    }
    this.#arriveAtPeer(delayMs, { frame }, fault === 'reorder');
    if (fault === 'duplicate') {
      this.#arriveAtPeer(delayMs, { frame: frame.slice() });
    }
  }

  close(reason: string): void {
    if (this.#isClosed) {
      return;
    }
    this.#isClosed = true;
    this.#arrivals = [];
    this.#forgetDeath();
    if (this.#peer !== null && this.#network.isReachable(this.#process, this.#peer.#process)) {
      this.#arriveAtPeer(this.#network.latency(), { closeReason: reason });
    }
    this.#process.deliver(0, 'closed link', () => this.#arrive({ closeReason: reason }));
  }

  /** Both ends hear that the connection is gone. */
  cut(reason: string): void {
    for (const end of this.#peer === null ? [this] : [this, this.#peer]) {
      end.#process.deliver(this.#network.latency(), 'cut link', () => end.#arrive({ closeReason: reason }));
    }
  }

  #arriveAtPeer(delayMs: number, arrival: Arrival, overtaken = false): void {
    const peer = this.#peer;
    if (peer === null) {
      return;
    }
    // What a busy process sends leaves it when it is done, and arrives after what it sent before.
    const nowMs = this.#network.nowMs;
    const inOrderMs = Math.max(nowMs + this.#process.busyMs + delayMs, this.#lastArrivalMs);
    if (!overtaken) {
      this.#lastArrivalMs = inOrderMs;
    }
    const label = 'frame' in arrival ? `frame of ${arrival.frame.length} from ${this.#process.name}` : 'close';
    peer.#process.deliver(inOrderMs - nowMs, label, () => peer.#arrive(arrival));
  }

  #arrive(arrival: Arrival): void {
    this.#arrivals.push(arrival);
    this.#dispatch();
  }

  #dispatch(): void {
    while (this.#handlers !== null) {
      const arrival = this.#arrivals.shift();
      if (arrival === undefined) {
        return;
      }
      if ('closeReason' in arrival) {
        this.#isClosed = true;
        this.#forgetDeath();
        const handlers = this.#handlers;
        this.#handlers = null;
        handlers.onClose(arrival.closeReason);
      } else if (!this.#isClosed) {
        this.#handlers.onFrame(arrival.frame);
      }
    }
  }
}
