/** Notices a head that is gone, or gets no further, by what does not come. */
import type { Clock, Timer } from '../platform/clock.ts';
import type { ResumeLimits } from './recovery.ts';

/**
 * What has come is read before it is said that nothing came: when this process was busy itself, both waited. Long enough
 * for what had arrived to be handed over.
 */
export const SECOND_LOOK_MS = 500;

export interface SilenceWatchOptions {
  readonly clock: Clock;
  readonly limits: Pick<ResumeLimits, 'acceptMsMax' | 'progressMsMax'>;
  readonly clientSignal: AbortSignal;
}

/** A signal that is aborted when the client's is, and when nothing has come for too long. */
export class SilenceWatch {
  readonly #options: SilenceWatchOptions;
  readonly #controller = new AbortController();
  readonly #onClientAbort = (): void => this.#controller.abort();
  /** What the head said last, and before that how long it may take to say something. */
  #silenceMs: number;
  /** Since when the head, which lives, has got no further. */
  #progressAtMs: number;
  #waitMs = 0;
  #timer: Timer | null = null;
  isExpired = false;

  constructor(options: SilenceWatchOptions) {
    const { clock, limits, clientSignal } = options;
    this.#options = options;
    this.#silenceMs = limits.acceptMsMax;
    this.#progressAtMs = clock.nowMs();
    if (clientSignal.aborted) {
      this.#controller.abort();
    }
    clientSignal.addEventListener('abort', this.#onClientAbort);
    this.#wait();
  }

  get description(): string {
    return this.#waitMs < this.#silenceMs
      ? `it got no further for ${this.#options.limits.progressMsMax} ms`
      : `nothing came for ${this.#silenceMs} ms`;
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  /** The head is alive, and says within what time it will be heard of again. */
  allow(silenceMs: number): void {
    this.#silenceMs = silenceMs;
    this.#wait();
  }

  /** Something came that was waited for. */
  noteProgress(): void {
    this.#progressAtMs = this.#options.clock.nowMs();
    this.#wait();
  }

  /** Nothing is waited for until the next sign of life. */
  pause(): void {
    this.#timer?.cancel();
  }

  stop(): void {
    this.#timer?.cancel();
    this.#options.clientSignal.removeEventListener('abort', this.#onClientAbort);
  }

  #wait(): void {
    const { clock, limits } = this.#options;
    const progressMs = this.#progressAtMs + limits.progressMsMax - clock.nowMs();
    this.#waitMs = Math.max(0, Math.min(this.#silenceMs, progressMs));
    this.#timer?.cancel();
    this.#timer = clock.startTimer(this.#waitMs, () => {
      this.#timer = clock.startTimer(SECOND_LOOK_MS, () => {
        this.isExpired = true;
        this.#controller.abort();
      });
    });
  }
}
