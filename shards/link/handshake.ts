/** Both ends of the hello that opens every link. */
import type { Clock, Timer } from '../platform/clock.ts';
import type { FrameLink, LinkConnector } from '../platform/link.ts';
import { describeError, err, ok, type Result } from '../result.ts';
import { withDeadline } from '../platform/clock.ts';
import { decodeFrame } from './decode-frame.ts';
import { encodeFrame } from './encode-frame.ts';
import { FrameError, type Frame, type HelloFrame, type WelcomeStatus } from './frame.ts';
import type { StageFailure } from './ring-protocol.ts';

/** Who a stage is, as far as its neighbours check it. */
export interface StageIdentity {
  readonly stageIndex: number;
  readonly stageCount: number;
  readonly manifestSha256: string;
}

export interface ConnectOptions {
  readonly connect: LinkConnector;
  readonly identity: StageIdentity;
  readonly epoch: number;
  readonly clock: Clock;
  readonly helloDeadlineMs: number;
  /** Called when the link closes after it was welcomed. */
  readonly onClose: (reason: string) => void;
}

function linkFailure(message: string): { readonly ok: false; readonly error: StageFailure } {
  return err({ code: 'link', retryable: true, message });
}

/** Opens a link to the next stage and introduces this one. */
export async function connectToNext(options: ConnectOptions): Promise<Result<FrameLink, StageFailure>> {
  const nextStage = `stage ${(options.identity.stageIndex + 1) % options.identity.stageCount}`;
  let link: FrameLink;
  try {
    link = await options.connect();
  } catch (thrown) {
    return linkFailure(`${nextStage} cannot be reached: ${describeError(thrown)}`);
  }
  const answer = await withDeadline(options.clock, options.helloDeadlineMs, exchangeHello(link, options));
  if (answer === 'timeout') {
    link.close('no answer to hello');
    return linkFailure(`${nextStage} did not answer the hello`);
  }
  if (answer !== 'accepted') {
    link.close('hello refused');
    const message = `${nextStage} refused the link: ${answer}`;
    return isSkew(answer) ? err({ code: 'version_skew', retryable: true, message }) : linkFailure(message);
  }
  return ok(link);
}

/** Whether a refusal ends with the deployment that it comes from. */
function isSkew(answer: string): boolean {
  return answer === 'manifest_mismatch' || answer === 'version_mismatch';
}

/** Resolves with the neighbour's status, or with what went wrong; later closes go to `options.onClose`. */
function exchangeHello(link: FrameLink, options: ConnectOptions): Promise<string> {
  const { identity, epoch } = options;
  return new Promise((resolve) => {
    let welcomed = false;
    link.attach({
      onFrame(bytes) {
        // Nothing but the welcome travels against the direction of the ring.
        const frame = welcomed ? null : decodeGreeting(bytes);
        if (frame === 'other_version') {
          resolve('version_mismatch');
          link.close('another version of the protocol');
        } else if (frame?.kind === 'welcome' && frame.epoch === epoch) {
          welcomed = true;
          resolve(frame.status);
        } else {
          link.close('unexpected frame');
        }
      },
      onClose(reason) {
        if (welcomed) {
          options.onClose(reason);
        } else {
          resolve(`closed: ${reason}`);
        }
      },
    });
    link.send(encodeFrame({ kind: 'hello', epoch, ...identity }));
  });
}

/** Hello frames come from anybody who can open a socket: all that is malformed is null alike. */
function decodeGreeting(bytes: Uint8Array<ArrayBuffer>): Frame | 'other_version' | null {
  try {
    return decodeFrame(bytes);
  } catch (thrown) {
    return thrown instanceof FrameError && thrown.code === 'bad_version' ? 'other_version' : null;
  }
}

export interface InboundLinksOptions {
  readonly identity: StageIdentity;
  readonly clock: Clock;
  readonly helloDeadlineMs: number;
  /** A frame of a link that introduced itself with `epoch`. */
  readonly onFrame: (epoch: number, bytes: Uint8Array<ArrayBuffer>) => void;
  readonly onClose: (epoch: number, reason: string) => void;
}

/** A hello of another version may have its epoch anywhere. */
const UNKNOWN_EPOCH = 1;

/** Links that have not said hello. An honest neighbour has one; more means reconnects pile up. */
export const UNGREETED_LINKS_MAX = 8;
/** Epochs whose link is kept: the current one, and the next one whose open call may come after its link. */
export const INBOUND_EPOCHS_MAX = 4;

/**
 * The links that the previous stage opened. A link is accepted on the merits of its hello alone and kept under its
 * epoch, since it may arrive before the head's call that makes the epoch the current one.
 */
export class InboundLinks {
  readonly #options: InboundLinksOptions;
  readonly #links = new Map<number, FrameLink>();
  #numUngreeted = 0;

  constructor(options: InboundLinksOptions) {
    this.#options = options;
  }

  has(epoch: number): boolean {
    return this.#links.has(epoch);
  }

  accept(link: FrameLink): void {
    if (this.#numUngreeted >= UNGREETED_LINKS_MAX) {
      link.close('too many links without a hello');
      return;
    }
    this.#numUngreeted++;
    let epoch: number | null = null;
    const timer: Timer = this.#options.clock.startTimer(this.#options.helloDeadlineMs, () => link.close('no hello'));
    let greeting = true;
    const endGreeting = (): void => {
      if (greeting) {
        greeting = false;
        timer.cancel();
        this.#numUngreeted--;
      }
    };
    link.attach({
      onFrame: (bytes) => {
        if (epoch !== null) {
          this.#options.onFrame(epoch, bytes);
          return;
        }
        endGreeting();
        epoch = this.#greet(link, decodeGreeting(bytes));
      },
      onClose: (reason) => {
        endGreeting();
        if (epoch !== null && this.#links.get(epoch) === link) {
          this.#links.delete(epoch);
          this.#options.onClose(epoch, reason);
        }
      },
    });
  }

  /** Closes every link but the one of `epoch`; all of them when it is null. */
  closeOthers(epoch: number | null, reason: string): void {
    for (const [linkEpoch, link] of this.#links) {
      if (linkEpoch !== epoch) {
        this.#links.delete(linkEpoch);
        link.close(reason);
      }
    }
  }

  /** @returns the epoch of a link that is accepted, null when it was refused and closed. */
  #greet(link: FrameLink, frame: Frame | 'other_version' | null): number | null {
    if (frame === 'other_version') {
      // The other end cannot read it either, but sees by its header why.
      link.send(encodeFrame({ kind: 'welcome', epoch: UNKNOWN_EPOCH, status: 'version_mismatch' }));
      link.close('another version of the protocol');
      return null;
    }
    if (frame?.kind !== 'hello') {
      link.close('expected a hello');
      return null;
    }
    const status = this.#judge(frame);
    link.send(encodeFrame({ kind: 'welcome', epoch: frame.epoch, status }));
    if (status !== 'accepted') {
      link.close(status);
      return null;
    }
    const predecessor = this.#links.get(frame.epoch);
    this.#links.set(frame.epoch, link);
    predecessor?.close('replaced by a newer link of the same epoch');
    this.#dropOldest();
    return frame.epoch;
  }

  #judge(hello: HelloFrame): WelcomeStatus {
    const { stageIndex, stageCount, manifestSha256 } = this.#options.identity;
    if (hello.manifestSha256 !== manifestSha256) {
      return 'manifest_mismatch';
    }
    const isNeighbour = hello.stageCount === stageCount && (hello.stageIndex + 1) % stageCount === stageIndex;
    return isNeighbour ? 'accepted' : 'wrong_neighbour';
  }

  /** A map iterates in order of insertion: the first link is the oldest. */
  #dropOldest(): void {
    for (const [epoch, link] of this.#links) {
      if (this.#links.size <= INBOUND_EPOCHS_MAX) {
        return;
      }
      this.#links.delete(epoch);
      link.close('overtaken by newer epochs');
      this.#options.onClose(epoch, 'overtaken by newer epochs');
    }
  }
}
