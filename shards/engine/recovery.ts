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
  /** Since when, and when last, stages were found to be of different versions. */
  #skew: { readonly sinceMs: number; readonly lastMs: number } | null = null;

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
    this.#skew = null;
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
    const isSkewed = failure.code === 'version_skew';
    const isOver = !failure.retryable || (isSkewed && this.#hasLastedTooLong());
    for (const sequence of lost === null ? scheduler.sequences : new Set(lost.flatMap(sequencesOf))) {
      // A deployment is not the ring's failure.
      sequence.numRingFailures += isSkewed ? 0 : 1;
      if (isOver || sequence.numRingFailures > limits.ringFailuresMax) {
        const times = isSkewed ? 'does not open' : `failed ${sequence.numRingFailures} times`;
        const message = `the ring ${times}: ${failure.message}`;
        answers.fail(sequence, { type: 'error', code: 'ring_failed', message, retryable: failure.retryable });
      }
    }
    if (this.#numFailuresInRow > 0 && scheduler.hasRunnable) {
      const delayMs = limits.reopenDelayMs * 2 ** (this.#numFailuresInRow - 1);
      await sleep(clock, Math.min(delayMs, limits.reopenDelayMsMax));
    }
    this.#numFailuresInRow++;
  }

  /** Notes that stages have different versions. @returns whether they have had so for longer than a deployment takes */
  #hasLastedTooLong(): boolean {
    const { clock, limits } = this.#options;
    const lastMs = clock.nowMs();
    const isSame = this.#skew !== null && lastMs - this.#skew.lastMs < limits.versionSkewMsMax;
    const sinceMs = isSame && this.#skew !== null ? this.#skew.sinceMs : lastMs;
    this.#skew = { sinceMs, lastMs };
    return lastMs - sinceMs >= limits.versionSkewMsMax;
  }
}

/** Whose tokens or pages a step was about. */
function sequencesOf({ scheduled, operations }: MicroBatch): Sequence[] {
  const waiting = operations.flatMap((operation) => (operation.kind === 'save' ? [] : [operation.sequence]));
  return [...scheduled.map(({ sequence }) => sequence), ...waiting];
}
