/** The deadlines of one attempt, as one signal: it is aborted when the client leaves or when one of them has passed. */
import type { Clock, Timer } from '../../shards/platform/clock.ts';

export class DeadlineWatch {
  readonly #clock: Clock;
  readonly #controller = new AbortController();
  readonly #clientSignal: AbortSignal;
  readonly #onClientAbort = (): void => this.#controller.abort();
  readonly #total: Timer;
  #phase: Timer | null = null;
  #expired: string | null = null;

  /** @param totalMs what is left for the whole request. */
  constructor(clock: Clock, totalMs: number, clientSignal: AbortSignal) {
    this.#clock = clock;
    this.#clientSignal = clientSignal;
    clientSignal.addEventListener('abort', this.#onClientAbort);
    this.#total = clock.startTimer(totalMs, () =>
      this.#expire(`it was not done within the time for the whole request`),
    );
    if (clientSignal.aborted) {
      this.#controller.abort();
    }
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  /** Which deadline passed; null when none did. */
  get expired(): string | null {
    return this.#expired;
  }

  /** Begins a phase, and ends the one before. @param what did not happen when the time is up: `no content came`. */
  startPhase(what: string, durationMs: number): void {
    this.#phase?.cancel();
    this.#phase = this.#clock.startTimer(durationMs, () => this.#expire(`${what} within ${durationMs} ms`));
  }

  /** Nothing is waited for: the client reads as slowly as it likes. */
  endPhase(): void {
    this.#phase?.cancel();
    this.#phase = null;
  }

  /** Aborts what runs under the signal; timers end. */
  stop(): void {
    this.#phase?.cancel();
    this.#total.cancel();
    this.#clientSignal.removeEventListener('abort', this.#onClientAbort);
    this.#controller.abort();
  }

  #expire(what: string): void {
    this.#expired ??= what;
    this.#controller.abort();
  }
}
