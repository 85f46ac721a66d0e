/**
 * How long the head waits for a step, from how long the ones before it took: mean and mean deviation are followed as TCP
 * follows its round trips (Jacobson and Karels, "Congestion Avoidance and Control", 1988), for each unit of work.
 */

export interface StepDeadlineBounds {
  /** However quick steps are: a neighbour may collect garbage, read pages, or be moved. */
  readonly stepDeadlineMsMin: number;
  /** However slow steps are, and for the first ones. */
  readonly stepDeadlineMsMax: number;
}

/** What a step costs beside its tokens, in tokens. */
const STEP_UNITS = 1;
/** What a page operation costs, in tokens: a tenth of a millisecond to half of one, where a token takes ten. */
const OPERATION_UNITS = 1 / 16;
/** Steps after an opening whose time says little: caches are cold and code is compiled. */
export const FIRST_STEPS = 8;
/** Stages that work side by side make steps look quicker than one alone is, each by its share. */
const FACTOR = 8;
const DEVIATIONS = 4;
const MEAN_WEIGHT = 1 / 8;
const DEVIATION_WEIGHT = 1 / 4;

/** A step that is on its way. */
export interface TimedStep {
  /** Of the step and of those before it that are on their way. */
  readonly units: number;
  readonly sentMs: number;
  readonly deadlineMs: number;
}

export class StepDeadline {
  readonly #bounds: StepDeadlineBounds;
  #numMeasured = 0;
  #meanMs = 0;
  #deviationMs = 0;
  #numUnitsInFlight = 0;
  /** Units of each step in flight, oldest first: steps come back in order. */
  #inFlight: number[] = [];

  constructor(bounds: StepDeadlineBounds) {
    this.#bounds = bounds;
  }

  /** A step leaves. @returns what `received` wants to know, and how long to wait for it */
  sent(numTokens: number, numOperations: number, nowMs: number): TimedStep {
    const units = STEP_UNITS + numTokens + numOperations * OPERATION_UNITS;
    this.#inFlight.push(units);
    this.#numUnitsInFlight += units;
    return { units: this.#numUnitsInFlight, sentMs: nowMs, deadlineMs: this.#deadlineMs() };
  }

  /** The oldest step is back. */
  received({ units, sentMs }: TimedStep, nowMs: number): void {
    this.#numUnitsInFlight -= this.#inFlight.shift() ?? 0;
    this.#numMeasured++;
    if (this.#numMeasured <= FIRST_STEPS) {
      return;
    }
    const unitMs = (nowMs - sentMs) / units;
    if (this.#numMeasured === FIRST_STEPS + 1) {
      this.#meanMs = unitMs;
      this.#deviationMs = unitMs / 2;
      return;
    }
    this.#deviationMs += DEVIATION_WEIGHT * (Math.abs(unitMs - this.#meanMs) - this.#deviationMs);
    this.#meanMs += MEAN_WEIGHT * (unitMs - this.#meanMs);
  }

  #deadlineMs(): number {
    const { stepDeadlineMsMin, stepDeadlineMsMax } = this.#bounds;
    if (this.#numMeasured <= FIRST_STEPS) {
      return stepDeadlineMsMax;
    }
    const expectedMs = (this.#meanMs + DEVIATIONS * this.#deviationMs) * this.#numUnitsInFlight;
    return Math.min(stepDeadlineMsMax, Math.max(stepDeadlineMsMin, FACTOR * expectedMs));
  }
}
