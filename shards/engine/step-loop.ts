/** Sends steps and takes them back until no sequence can take part in one. */
import { assert } from '../../wasm/host/assert.ts';
import type { RingHead } from '../link/ring-head.ts';
import type { Clock, Timer } from '../platform/clock.ts';
import { describeError } from '../result.ts';
import { Sampler } from '../sampling/sampler.ts';
import type { Answers } from './answers.ts';
import type { EngineCounters } from './counters.ts';
import { buildMicroBatch, type MicroBatch, type ResultRow } from './micro-batch.ts';
import type { PageOperationQueue } from './page-operation-queue.ts';
import type { Recovery } from './recovery.ts';
import { isCurrent, type ScheduledSequence, type Scheduler } from './scheduler.ts';
import type { SequencePages } from './sequence-pages.ts';
import type { StepCost } from './step-cost.ts';
import { StepTimer } from './step-timer.ts';
import { StepsInFlight, type ReturnedStep } from './steps-in-flight.ts';
import { isUsable, takeLogits } from './take-logits.ts';
import type { WaitEstimate } from './wait-estimate.ts';
import { OUTPUT_TOKEN_COST, PROMPT_TOKEN_COST } from './waiting-queue.ts';

/** Whoever works on this shard beside streams wants to know when they step. */
export interface StepPace {
  stepsBegin(): void;
  /** A step of so many tokens is on its way. */
  stepSent(numTokens: number): void;
  stepsEnd(): void;
}

export interface StepLoopOptions {
  readonly ring: RingHead;
  readonly clock: Clock;
  readonly scheduler: Scheduler;
  readonly pages: SequencePages;
  readonly operations: PageOperationQueue;
  readonly answers: Answers;
  readonly recovery: Recovery;
  readonly counters: EngineCounters;
  readonly waitEstimate: WaitEstimate;
  /** Learns what steps cost. */
  readonly stepCost: StepCost;
  readonly stepsInFlightMax: number;
  readonly sequencesRunningMax: number;
  /** Rows of one call of the LM head. */
  readonly numLogitRowsMax: number;
  /** How long a ring without work stays open. */
  readonly idleCloseMs: number;
  readonly pace: StepPace | null;
}

export class StepLoop {
  readonly #options: StepLoopOptions;
  readonly #inFlight = new StepsInFlight();
  readonly #timer: StepTimer;
  #sampler: Sampler | null = null;
  #isLooping = false;
  #idleTimer: Timer | null = null;
  #numSent = 0;
  #numTaken = 0;
  #numBroken = 0;
  #turnWaiters: (() => void)[] = [];

  constructor(options: StepLoopOptions) {
    const hasRoom = options.operations.hasRoomFor(options.sequencesRunningMax);
    assert(hasRoom, 'a step has no room for one page operation of each sequence');
    this.#options = options;
    this.#timer = new StepTimer(options.clock, options.stepCost);
  }

  /** Starts the loop unless it runs. It stops by itself when there is nothing to do. */
  wake(): void {
    if (this.#isLooping) {
      this.#inFlight.notify();
      return;
    }
    this.#isLooping = true;
    this.#options.pace?.stepsBegin();
    this.#idleTimer?.cancel();
    this.#loop().catch((thrown: unknown) => {
      const message = `the engine failed: ${describeError(thrown)}`;
      this.#options.answers.failAll({ type: 'error', code: 'internal', message, retryable: true });
      this.#takeLost();
      // Nobody knows what the pages hold now.
      this.#options.scheduler.readmitAll();
      this.#options.ring.close('the engine failed');
      this.#stop();
    });
  }

  /** Resolves when a step has been taken back, or the loop has stopped. @returns false when it does not run. */
  async turn(): Promise<boolean> {
    if (!this.#isLooping) {
      return false;
    }
    await new Promise<void>((resolve) => this.#turnWaiters.push(resolve));
    return true;
  }

  /** Waits for the steps that are under way. @returns false when one of them was lost with its ring. */
  async settle(): Promise<boolean> {
    const [numSent, numBroken] = [this.#numSent, this.#numBroken];
    while (this.#numTaken < numSent && (await this.turn())) {
      // One after the other.
    }
    return this.#numBroken === numBroken;
  }

  /** A step is out of the way, or there are none. */
  #endTurn(): void {
    this.#turnWaiters.splice(0).forEach((resolve) => resolve());
  }

  /** Takes out what will not come back. */
  #takeLost(): MicroBatch[] {
    this.#numBroken++;
    this.#numTaken = this.#numSent;
    return this.#inFlight.takeAll();
  }

  async #loop(): Promise<void> {
    const { clock, answers } = this.#options;
    // The first request's caller gets its stream before anything is computed.
    await clock.yieldToEvents();
    for (;;) {
      answers.finishComplete();
      // Sending comes first: then the other stages work while the head takes the logits of what has come back.
      const sent = await this.#sendStep();
      // It may have taken pages from sequences that nobody reads.
      answers.giveUpStalled();
      const returned = sent === 'none' ? this.#inFlight.takeReturned() : null;
      if (returned !== null) {
        await this.#takeStep(returned);
        this.#endTurn();
      } else if (sent === 'none' && this.#inFlight.size === 0) {
        break;
      } else if (sent === 'none' || this.#isFull) {
        await this.#inFlight.waitForNews();
        continue;
      }
      await clock.yieldToEvents();
      if (returned?.outcome.ok === true) {
        this.#timer.end(returned.batch);
      }
    }
    this.#stop();
  }

  get #isFull(): boolean {
    return this.#inFlight.size >= this.#options.stepsInFlightMax;
  }

  /** In one go with the decision to stop, so that no wake-up falls in between. */
  #stop(): void {
    const { clock, ring, idleCloseMs, pace } = this.#options;
    this.#isLooping = false;
    this.#endTurn();
    pace?.stepsEnd();
    this.#idleTimer = clock.startTimer(idleCloseMs, () => ring.close('no work'));
  }

  /** @returns 'none' when nothing can be sent now, 'failed' when the ring did not open and will be tried again. */
  async #sendStep(): Promise<'sent' | 'none' | 'failed'> {
    const { ring, scheduler, recovery, operations, sequencesRunningMax } = this.#options;
    if (this.#isFull) {
      return 'none';
    }
    if (!scheduler.hasRunnable) {
      return ring.isOpen ? this.#sendOperations() : 'none';
    }
    if (!ring.isOpen || ring.isDueForRotation) {
      if (this.#inFlight.size > 0) {
        // The steps of the old epoch come first, with their rows or with what ended them.
        return 'none';
      }
      if (!(await recovery.openRing())) {
        return 'failed';
      }
    }
    if (!operations.hasRoomFor(sequencesRunningMax)) {
      // Scheduling may add a copy for each sequence that it admits, and all of them must go with it.
      return this.#send([]);
    }
    const scheduled = scheduler.schedule();
    return scheduled.length > 0 ? this.#send(scheduled) : this.#sendOperations();
  }

  /** No step with tokens can be sent. Saves wait for the next one, unless there is none to wait for. */
  #sendOperations(): 'sent' | 'none' {
    const { operations } = this.#options;
    const isDue = operations.hasRestores || (operations.size > 0 && this.#inFlight.size === 0);
    return isDue ? this.#send([]) : 'none';
  }

  #send(scheduled: readonly ScheduledSequence[]): 'sent' {
    const { ring, operations, pace } = this.#options;
    const batch = buildMicroBatch(scheduled, operations.take(scheduled.length > 0));
    this.#numSent++;
    this.#timer.begin(batch, this.#inFlight.size === 0);
    this.#inFlight.add(batch, ring.submit(batch.step));
    pace?.stepSent(batch.step.tokenIds.length);
    return 'sent';
  }

  async #takeStep({ batch, outcome }: ReturnedStep): Promise<void> {
    const { recovery, counters, scheduler, pages } = this.#options;
    if (!outcome.ok) {
      await recovery.recover(outcome.error, [batch, ...this.#takeLost()]);
      return;
    }
    this.#numTaken++;
    counters.numStepsTotal += batch.scheduled.length > 0 ? 1 : 0;
    recovery.noteSuccess();
    pages.confirm(batch.operations, outcome.value.missing);
    this.#countTokens(batch);
    scheduler.complete(batch.scheduled);
    await this.#takeRows(batch, outcome.value.rows);
  }

  #countTokens({ scheduled }: MicroBatch): void {
    const { counters, waitEstimate } = this.#options;
    let work = 0;
    for (const { sequence, startPosition, numTokens, draft } of scheduled) {
      const promptEnd = Math.min(sequence.numPromptTokens, startPosition + numTokens);
      const numPromptTokens = Math.max(0, promptEnd - startPosition);
      const numDraftTokens = draft?.tokens.length ?? 0;
      counters.numPromptTokensTotal += numPromptTokens;
      counters.numDraftTokensTotal += numDraftTokens;
      const numOutputTokens = numTokens - numPromptTokens - numDraftTokens;
      work += numPromptTokens * PROMPT_TOKEN_COST + numOutputTokens * OUTPUT_TOKEN_COST;
    }
    waitEstimate.noteStep(work);
  }

  /** Computes logits in parts, with room for other events between them: a whole prompt's take seconds. */
  async #takeRows(batch: MicroBatch, rows: Float32Array): Promise<void> {
    const { ring, clock, recovery, answers, pages, numLogitRowsMax } = this.#options;
    const numRows = batch.resultRows.length;
    const hiddenSize = rows.length / Math.max(1, numRows);
    for (let start = 0; start < numRows; start += numLogitRowsMax) {
      if (start > 0) {
        await clock.yieldToEvents();
      }
      const end = Math.min(numRows, start + numLogitRowsMax);
      const logits = ring.logits(rows.subarray(start * hiddenSize, end * hiddenSize));
      if (logits === null) {
        // The ring closed meanwhile. What these rows would have said is computed again with the rest.
        await recovery.recover(ring.closeReason, [batch, ...this.#takeLost()]);
        return;
      }
      const vocabSize = logits.length / (end - start);
      this.#sampler ??= new Sampler(vocabSize);
      for (let row = start; row < end; row++) {
        const resultRow = batch.resultRows[row] as ResultRow;
        if (isUsable(resultRow)) {
          const view = logits.subarray((row - start) * vocabSize, (row - start + 1) * vocabSize);
          answers.apply(resultRow.sequence, takeLogits(resultRow, view, this.#sampler));
          if (isCurrent(resultRow)) {
            // An accepted draft token may have filled a page.
            pages.register(resultRow.sequence);
          }
        }
      }
    }
  }
}
