import type { Clock, Timer } from '../platform/clock.ts';

/** A signal that is aborted when the client's is, and when nothing has come for too long. */
export class SilenceWatch {
  readonly #clock: Clock;
  readonly #controller = new AbortController();
  readonly #clientSignal: AbortSignal;
  readonly #onClientAbort = (): void => this.#controller.abort();
  #silenceMs = 0;
  #timer: Timer | null = null;
  isExpired = false;

  /** @param silenceMs until the first sign of life. */
  constructor(clock: Clock, silenceMs: number, clientSignal: AbortSignal) {
    this.#clock = clock;
    this.#clientSignal = clientSignal;
    if (clientSignal.aborted) {
      this.#controller.abort();
    }
    clientSignal.addEventListener('abort', this.#onClientAbort);
    this.restart(silenceMs);
  }

  get description(): string {
    return `nothing came for ${this.#silenceMs} ms`;
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  /** There was a sign of life; the next one may take `silenceMs`. */
  restart(silenceMs: number): void {
    this.#silenceMs = silenceMs;
    this.#timer?.cancel();
    this.#timer = this.#clock.startTimer(silenceMs, () => {
      this.isExpired = true;
      this.#controller.abort();
    });
  }

  stop(): void {
    this.#timer?.cancel();
    this.#clientSignal.removeEventListener('abort', this.#onClientAbort);
  }
}
