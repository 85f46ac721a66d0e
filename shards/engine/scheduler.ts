/**
 * Decides which tokens of which sequences the next step computes: continuous batching (Yu et al., "Orca", 2022) with
 * chunked prefill (Agrawal et al., "Sarathi-Serve", 2024). The sequences that decode are dealt out evenly over the steps
 * that may be in flight, so that every stage has one to work on; what is left of a step's token budget is shared among
 * prompts, whose chunks may follow each other in flight. Sequences are admitted in an order that is fair between tenants
 * (see `WaitingQueue`), and when pages run out the youngest one is preempted and goes on later, from what the prefix cache
 * still has, so the oldest always gets on.
 */
import { assert } from '../../wasm/host/assert.ts';
import { addDrafts, type CostOfStep, type DraftLimits } from './add-drafts.ts';
import type { Draft } from './draft.ts';
import type { SequencePages } from './sequence-pages.ts';
import type { Sequence } from './sequence.ts';
import {
  OUTPUT_TOKEN_COST,
  PROMPT_TOKEN_COST,
  WaitingQueue,
  type AddOutcome,
  type WaitingQueueLimits,
} from './waiting-queue.ts';

export interface SchedulerLimits extends DraftLimits, WaitingQueueLimits {
  /** Tokens of one step; at least `sequencesRunningMax`, so that everyone moves in every step. */
  readonly numTokensMax: number;
  readonly sequencesRunningMax: number;
  /** Steps that may be under way at a time; at least 1. */
  readonly stepsInFlightMax: number;
}

/**
 * One sequence's part of a step: the tokens `[startPosition, startPosition + numTokens)`. The last ones may be a draft,
 * which is not part of the sequence until it is verified.
 */
export interface ScheduledSequence {
  readonly sequence: Sequence;
  readonly startPosition: number;
  readonly numTokens: number;
  /** The sequence's when it was scheduled: a later rewind takes the result's meaning away. */
  readonly numRewinds: number;
  readonly draft: Draft | null;
}

/** Whether what a step said about a sequence still counts: it was neither finished nor rewound meanwhile. */
export function isCurrent({ sequence, numRewinds }: Pick<ScheduledSequence, 'sequence' | 'numRewinds'>): boolean {
  return sequence.state === 'running' && sequence.numRewinds === numRewinds;
}

export class Scheduler {
  readonly #limits: SchedulerLimits;
  readonly #pages: SequencePages;
  readonly #costOfStep: CostOfStep;
  /** Oldest first. */
  #running: Sequence[] = [];
  readonly #waiting: WaitingQueue<Sequence>;
  #numPreemptionsTotal = 0;

  constructor(limits: SchedulerLimits, pages: SequencePages, costOfStep: CostOfStep) {
    assert(
      limits.numTokensMax >= limits.sequencesRunningMax,
      `a step of ${limits.numTokensMax} tokens cannot serve ${limits.sequencesRunningMax} sequences`,
    );
    assert(
      limits.numTokensMax >= limits.draftStepTokensMax,
      `a step of ${limits.numTokensMax} tokens has no room for drafts up to ${limits.draftStepTokensMax}`,
    );
    this.#limits = limits;
    this.#pages = pages;
    this.#costOfStep = costOfStep;
    this.#waiting = new WaitingQueue(limits);
  }

  get numRunning(): number {
    return this.#running.length;
  }

  get numWaiting(): number {
    return this.#waiting.size;
  }

  /** Sequences that lost their pages because others needed them. */
  get numPreemptionsTotal(): number {
    return this.#numPreemptionsTotal;
  }

  /** Sequences that are not finished. */
  get sequences(): readonly Sequence[] {
    return [...this.#running, ...this.#waiting.sequences];
  }

  /** Sequences that have no pages and are not to get any, since their readers do not read. */
  get stalled(): readonly Sequence[] {
    return this.#waiting.sequences.filter((sequence) => !isReading(sequence));
  }

  /** Whether any sequence would take part in a step, or wait for one, if it could. */
  get hasRunnable(): boolean {
    return this.sequences.some(isReading);
  }

  /** Queues a new sequence, if there is room for it. */
  add(sequence: Sequence): AddOutcome {
    assert(sequence.state === 'waiting', 'only a new sequence can be added');
    return this.#waiting.add(sequence);
  }

  /** A token was chosen for the sequence, which counts as work for its tenant. */
  noteOutput(sequence: Sequence): void {
    this.#waiting.charge(sequence, OUTPUT_TOKEN_COST);
  }

  /**
   * Work of everything that waits, in the costs of the queue.
   * @param outputTokensOf tokens that an answer of at most so many will have
   */
  waitingWork(outputTokensOf: (numTokensMax: number) => number): number {
    return this.#waiting.sequences.reduce((work, sequence) => {
      const numOutputTokens = outputTokensOf(sequence.request.maxTokens - sequence.numOutputTokens);
      return work + sequence.numUncomputedTokens * PROMPT_TOKEN_COST + numOutputTokens * OUTPUT_TOKEN_COST;
    }, 0);
  }

  /** Takes a sequence out, whatever it is doing, and gives its pages back. Finishing twice is harmless. */
  finish(sequence: Sequence): void {
    if (sequence.state === 'finished') {
      return;
    }
    sequence.state = 'finished';
    this.#pages.release(sequence);
    this.#running = this.#running.filter((other) => other !== sequence);
    this.#waiting.remove(sequence);
  }

  /**
   * No step that is under way will come back, but pages hold what steps that did have put there. A sequence whose pages
   * should have been filled by a lost step is admitted again.
   */
  cancelScheduled(): void {
    for (const sequence of this.#running) {
      if (sequence.restore !== null || sequence.isCopyUnconfirmed) {
        this.#preempt(sequence);
      } else {
        sequence.cancelScheduled();
      }
    }
  }

  /** The contents of all pages are lost: whoever runs is admitted again, and computed from its tokens where need be. */
  readmitAll(): void {
    this.#pages.clear();
    for (const sequence of this.#running) {
      sequence.rewind();
      this.#preempt(sequence);
    }
  }

  /**
   * The next step; empty when no sequence can take part. Its tokens count as scheduled until `complete`; steps complete
   * in the order in which they were scheduled.
   */
  schedule(): readonly ScheduledSequence[] {
    this.#growDecoding();
    this.#admit();
    const active = this.#chooseActive();
    const numTokensOf = shareTokens(active, this.#limits.numTokensMax);
    const scheduled: ScheduledSequence[] = [];
    for (const sequence of active) {
      const numTokens = numTokensOf.get(sequence) ?? 0;
      if (numTokens > 0) {
        const startPosition = sequence.numComputedTokens + sequence.numScheduledTokens;
        scheduled.push({ sequence, startPosition, numTokens, numRewinds: sequence.numRewinds, draft: null });
      }
    }
    const withDrafts = addDrafts(scheduled, this.#limits, this.#costOfStep);
    for (const { sequence, numTokens } of withDrafts) {
      sequence.numScheduledTokens += numTokens;
    }
    return withDrafts;
  }

  /**
   * The step came back: its tokens' keys and values are in the pages of those sequences that still have theirs. Those of
   * draft tokens count when they are accepted; until then, and for good when they are not, they are of no meaning.
   */
  complete(scheduled: readonly ScheduledSequence[]): void {
    for (const part of scheduled) {
      if (isCurrent(part)) {
        const { sequence, startPosition, numTokens, draft } = part;
        assert(sequence.numComputedTokens === startPosition, 'steps complete in order');
        sequence.numComputedTokens += numTokens - (draft?.tokens.length ?? 0);
        sequence.numScheduledTokens -= numTokens;
        this.#pages.register(sequence);
      }
    }
  }

  /** Who may take part in the next step: of those that decode, an equal share for each step that may be in flight. */
  #chooseActive(): Sequence[] {
    const ready = this.#running.filter(isReading);
    const numDecoding = ready.filter(isDecoding).length;
    let numDecodingLeft = Math.ceil(numDecoding / this.#limits.stepsInFlightMax);
    return ready.filter((sequence) => {
      if (sequence.numUncomputedTokens <= 0 || sequence.restore !== null) {
        return false;
      }
      return !isDecoding(sequence) || numDecodingLeft-- > 0;
    });
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
      this.#numPreemptionsTotal++;
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
    this.#pages.release(sequence);
    sequence.rewind();
    sequence.state = 'waiting';
    this.#waiting.readmit(sequence);
  }

  /**
   * Starts waiting sequences, in the order of the queue, while there are pages for all their tokens. None is passed over for
   * being large; only those whose readers do not read, or that wait for pages which are being computed, let others go first.
   */
  #admit(): void {
    for (const sequence of this.#waiting.candidates()) {
      if (this.#running.length >= this.#limits.sequencesRunningMax) {
        return;
      }
      if (!isReading(sequence)) {
        continue;
      }
      const admission = this.#pages.admit(sequence, this.#running);
      if (admission === 'no_pages') {
        return;
      }
      if (admission === 'admitted') {
        this.#start(sequence);
      }
    }
  }

  #start(sequence: Sequence): void {
    this.#waiting.take(sequence, sequence.numUncomputedTokens);
    sequence.state = 'running';
    const place = this.#running.findIndex((other) => other.id > sequence.id);
    this.#running.splice(place < 0 ? this.#running.length : place, 0, sequence);
  }
}

function isReading(sequence: Sequence): boolean {
  return !sequence.isPaused;
}

/** Whether all but its last token is computed; that one may be on its way. */
function isDecoding(sequence: Sequence): boolean {
  return sequence.tokens.length - sequence.numComputedTokens <= 1;
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
