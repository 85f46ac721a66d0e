/** Opens the ring, and decides what becomes of its sequences when it does not open or breaks. */
import type { RingHead } from '../link/ring-head.ts';
import type { StageFailure } from '../link/ring-protocol.ts';
import { sleep, type Clock } from '../platform/clock.ts';
import type { Answers } from './answers.ts';
import type { EngineLimits } from './limits.ts';
import type { MicroBatch } from './micro-batch.ts';
import type { Scheduler } from './scheduler.ts';
import type { Sequence } from './sequence.ts';
import type { SequencePages } from './sequence-pages.ts';

export interface RecoveryOptions {
  readonly ring: RingHead;
  readonly clock: Clock;
  readonly limits: EngineLimits;
  readonly scheduler: Scheduler;
  readonly pages: SequencePages;
  readonly answers: Answers;
}

export class Recovery {
  readonly #options: RecoveryOptions;
  #numFailuresInRow = 0;

  constructor(options: RecoveryOptions) {
    this.#options = options;
  }

  /** @returns false when the ring did not open; the sequences have been told, or will be tried again. */
  async openRing(): Promise<boolean> {
    const opened = await this.#options.ring.open();
    if (!opened.ok) {
      await this.recover(opened.error, null);
      return false;
    }
    if (!opened.value.kvKept) {
      this.#options.scheduler.readmitAll();
    }
    return true;
  }

  /** A step came back: the ring works. */
  noteSuccess(): void {
    this.#numFailuresInRow = 0;
  }

  /**
   * A ring did not open, or broke under steps. Sequences that had enough of it end, the others keep what came back, and
   * go on when it opens again; should a stage have lost its pages meanwhile, `openRing` finds out.
   * @param lost the steps that will not come back; null when the ring did not open: then every sequence was kept waiting.
   */
  async recover(failure: StageFailure, lost: readonly MicroBatch[] | null): Promise<void> {
    const { scheduler, pages, answers, limits, clock } = this.#options;
    scheduler.cancelScheduled();
    pages.retry((lost ?? []).flatMap((batch) => batch.operations));
    for (const sequence of lost === null ? scheduler.sequences : new Set(lost.flatMap(sequencesOf))) {
      sequence.numRingFailures++;
      if (!failure.retryable || sequence.numRingFailures > limits.ringFailuresMax) {
        const message = `the ring failed ${sequence.numRingFailures} times: ${failure.message}`;
        answers.fail(sequence, { type: 'error', code: 'ring_failed', message, retryable: failure.retryable });
      }
    }
    if (this.#numFailuresInRow > 0 && scheduler.hasRunnable) {
      const delayMs = limits.reopenDelayMs * 2 ** (this.#numFailuresInRow - 1);
      await sleep(clock, Math.min(delayMs, limits.reopenDelayMsMax));
    }
    this.#numFailuresInRow++;
  }
}

/** Whose tokens or pages a step was about. */
function sequencesOf({ scheduled, operations }: MicroBatch): Sequence[] {
  const waiting = operations.flatMap((operation) => (operation.kind === 'save' ? [] : [operation.sequence]));
  return [...scheduled.map(({ sequence }) => sequence), ...waiting];
}
