import type { Clock } from '../platform/clock.ts';
import type { MicroBatch } from './micro-batch.ts';
import type { StepCost } from './step-cost.ts';

/**
 * Times steps that tell what a step costs: those that do nothing but compute the next tokens of sequences, and are alone on
 * their way. The clock of a Worker stands still while code runs, so a step ends when events had their turn after it.
 */
export class StepTimer {
  readonly #clock: Clock;
  readonly #stepCost: StepCost;
  #timed: { readonly batch: MicroBatch; readonly startMs: number } | null = null;

  constructor(clock: Clock, stepCost: StepCost) {
    this.#clock = clock;
    this.#stepCost = stepCost;
  }

  /** A step is about to be sent. @param isAlone whether no other is on its way; one that was loses its meaning. */
  begin(batch: MicroBatch, isAlone: boolean): void {
    const isDecoding = batch.resultRows.length === batch.step.tokenIds.length && batch.operations.length === 0;
    this.#timed = isAlone && isDecoding ? { batch, startMs: this.#clock.nowMs() } : null;
  }

  /** Its tokens have been chosen, and events had their turn. */
  end(batch: MicroBatch): void {
    if (this.#timed?.batch === batch) {
      this.#stepCost.note(batch.step.tokenIds.length, this.#clock.nowMs() - this.#timed.startMs);
      this.#timed = null;
    }
  }
}
