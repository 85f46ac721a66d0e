/**
 * The steps that are on their way round the ring, oldest first, and the engine's way to wait for news of them. A ring
 * answers in order, so the oldest is always the first to come back.
 */
import type { StepResult } from '../link/ring-step.ts';
import type { StageFailure } from '../link/ring-protocol.ts';
import type { Result } from '../result.ts';
import type { MicroBatch } from './micro-batch.ts';

type Outcome = Result<StepResult, StageFailure>;

interface Flight {
  readonly batch: MicroBatch;
  /** Null until the step is back. */
  outcome: Outcome | null;
}

/** A step that came back, or ended with its ring. */
export interface ReturnedStep {
  readonly batch: MicroBatch;
  readonly outcome: Outcome;
}

export class StepsInFlight {
  #flights: Flight[] = [];
  #hasNews = false;
  #onNews: (() => void) | null = null;

  get size(): number {
    return this.#flights.length;
  }

  /** @param outcome what `RingHead.submit` returned; it never rejects */
  add(batch: MicroBatch, outcome: Promise<Outcome>): void {
    const flight: Flight = { batch, outcome: null };
    this.#flights.push(flight);
    void outcome.then((value) => {
      flight.outcome = value;
      this.notify();
    });
  }

  /** Takes the oldest step out if it is back. */
  takeReturned(): ReturnedStep | null {
    const [oldest] = this.#flights;
    if (oldest === undefined || oldest.outcome === null) {
      return null;
    }
    this.#flights.shift();
    return { batch: oldest.batch, outcome: oldest.outcome };
  }

  /** Takes out all steps, whose results nobody wants any more. */
  takeAll(): MicroBatch[] {
    const batches = this.#flights.map(({ batch }) => batch);
    this.#flights = [];
    return batches;
  }

  /** Tells whoever waits that there is something to do. */
  notify(): void {
    this.#hasNews = true;
    this.#onNews?.();
  }

  /** Resolves when a step came back or somebody called `notify`, also when that was since the last wait. */
  async waitForNews(): Promise<void> {
    if (!this.#hasNews) {
      await new Promise<void>((resolve) => {
        this.#onNews = resolve;
      });
      this.#onNews = null;
    }
    this.#hasNews = false;
  }
}
