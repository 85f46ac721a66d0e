/**
 * Decides which tokens of which sequences the next step computes: continuous batching (Yu et al., "Orca", 2022) with
 * chunked prefill (Agrawal et al., "Sarathi-Serve", 2024). Every sequence that decodes takes part in every step; what is
 * left of the token budget is shared among prompts. Sequences are admitted in order of arrival, and when pages run out
 * the youngest one is preempted and computed again later, so the oldest always gets on.
 */
import { assert } from '../../wasm/host/assert.ts';
import type { Sequence } from './sequence.ts';

export interface SchedulerLimits {
  /** Tokens of one step; at least `sequencesRunningMax`, so that everyone moves in every step. */
  readonly numTokensMax: number;
  readonly sequencesRunningMax: number;
  readonly sequencesWaitingMax: number;
}

/** One sequence's part of a step: the tokens `[startPosition, startPosition + numTokens)`. */
export interface ScheduledSequence {
  readonly sequence: Sequence;
  readonly startPosition: number;
  readonly numTokens: number;
}

export class Scheduler {
  readonly #limits: SchedulerLimits;
  /** Both in order of arrival, oldest first. */
  #running: Sequence[] = [];
  #waiting: Sequence[] = [];

  constructor(limits: SchedulerLimits) {
    assert(
      limits.numTokensMax >= limits.sequencesRunningMax,
      `a step of ${limits.numTokensMax} tokens cannot serve ${limits.sequencesRunningMax} sequences`,
    );
    this.#limits = limits;
  }

  get numRunning(): number {
    return this.#running.length;
  }

  get numWaiting(): number {
    return this.#waiting.length;
  }

  /** Sequences that are not finished, oldest first. */
  get sequences(): readonly Sequence[] {
    return [...this.#running, ...this.#waiting];
  }

  /** @returns false when the queue is full. */
  add(sequence: Sequence): boolean {
    assert(sequence.state === 'waiting', 'only a new sequence can be added');
    if (this.#waiting.length >= this.#limits.sequencesWaitingMax) {
      return false;
    }
    this.#waiting.push(sequence);
    return true;
  }

  /** Takes a sequence out, whatever it is doing, and frees its pages. Finishing twice is harmless. */
  finish(sequence: Sequence): void {
    sequence.state = 'finished';
    sequence.pageTable.release();
    this.#running = this.#running.filter((other) => other !== sequence);
    this.#waiting = this.#waiting.filter((other) => other !== sequence);
  }

  /** The contents of all pages are lost: running sequences keep their pages and are computed from their tokens. */
  rewindAll(): void {
    for (const sequence of this.#running) {
      sequence.rewind();
    }
  }

  /** The next step; empty when no sequence can take part. Its tokens count as scheduled until `complete`. */
  schedule(): ScheduledSequence[] {
    this.#growDecoding();
    this.#admit();
    const active = this.#running.filter((sequence) => !sequence.isPaused && sequence.numUncomputedTokens > 0);
    const numTokensOf = shareTokens(active, this.#limits.numTokensMax);
    const scheduled: ScheduledSequence[] = [];
    for (const sequence of active) {
      const numTokens = numTokensOf.get(sequence) ?? 0;
      if (numTokens > 0) {
        scheduled.push({ sequence, startPosition: sequence.numComputedTokens, numTokens });
        sequence.numScheduledTokens += numTokens;
      }
    }
    return scheduled;
  }

  /** The step came back: its tokens' keys and values are in the pages of those sequences that still have theirs. */
  complete(scheduled: readonly ScheduledSequence[]): void {
    for (const { sequence, startPosition, numTokens } of scheduled) {
      const isCurrent = sequence.state === 'running' && sequence.numScheduledTokens === numTokens;
      if (isCurrent && sequence.numComputedTokens === startPosition) {
        sequence.numComputedTokens += numTokens;
        sequence.numScheduledTokens = 0;
      }
    }
  }

  /** Gives every running sequence room for the token it computes next; prefill got all its pages at admission. */
  #growDecoding(): void {
    // Preempting replaces `#running`; the list that is walked here stays as it was.
    for (const sequence of this.#running) {
      if (!sequence.isPaused) {
        this.#growOrPreempt(sequence);
      }
    }
  }

  #growOrPreempt(sequence: Sequence): void {
    while (sequence.state === 'running' && !sequence.pageTable.cover(sequence.tokens.length)) {
      this.#preempt(this.#chooseVictim());
    }
  }

  /** The youngest sequence, but first those that only wait for their readers. */
  #chooseVictim(): Sequence {
    const victim = this.#running.findLast((sequence) => sequence.isPaused) ?? this.#running.at(-1);
    assert(victim !== undefined, 'pages ran out though no sequence runs');
    return victim;
  }

  #preempt(sequence: Sequence): void {
    this.#running = this.#running.filter((other) => other !== sequence);
    sequence.pageTable.release();
    sequence.rewind();
    sequence.state = 'waiting';
    this.#insertWaiting(sequence);
  }

  #insertWaiting(sequence: Sequence): void {
    const place = this.#waiting.findIndex((other) => other.id > sequence.id);
    this.#waiting.splice(place < 0 ? this.#waiting.length : place, 0, sequence);
  }

  /**
   * Starts waiting sequences, oldest first, while there are pages for all their tokens. None is passed over for being
   * large; only those whose readers do not read let others go first.
   */
  #admit(): void {
    while (this.#running.length < this.#limits.sequencesRunningMax) {
      const sequence = this.#waiting.find(({ isPaused }) => !isPaused);
      if (sequence === undefined || !sequence.pageTable.cover(sequence.tokens.length)) {
        return;
      }
      this.#waiting = this.#waiting.filter((other) => other !== sequence);
      sequence.state = 'running';
      const place = this.#running.findIndex((other) => other.id > sequence.id);
      this.#running.splice(place < 0 ? this.#running.length : place, 0, sequence);
    }
  }
}

/**
 * Shares a budget of tokens max-min fairly: whoever needs less than an equal share gets what it needs, the others split
 * the rest. So decoding sequences, which need one token, always get it, and a short prompt does not wait for a long one.
 */
function shareTokens(sequences: readonly Sequence[], budget: number): Map<Sequence, number> {
  const byNeed = [...sequences].sort((a, b) => a.numUncomputedTokens - b.numUncomputedTokens || a.id - b.id);
  const shares = new Map<Sequence, number>();
  let numTokensLeft = budget;
  for (const [i, sequence] of byNeed.entries()) {
    const equalShare = Math.floor(numTokensLeft / (byNeed.length - i));
    const numTokens = Math.min(sequence.numUncomputedTokens, equalShare);
    shares.set(sequence, numTokens);
    numTokensLeft -= numTokens;
  }
  return shares;
}
