/**
 * The engine of a head shard: takes requests, runs steps until all are answered, and turns what comes back into events.
 * It puts the parts together: the scheduler decides what runs, the step loop runs it on the ring, the answers tell it.
 */
import { PAGE_SIZE_TOKENS } from '../../wasm/host/stage-runtime.ts';
import { PrefixCache } from '../kv/prefix-cache.ts';
import type { RingHead } from '../link/ring-head.ts';
import { RING_TIMINGS } from '../link/ring-protocol.ts';
import type { StageAssignment } from '../model/assignment.ts';
import type { Clock } from '../platform/clock.ts';
import { Answers, type ErrorEvent } from './answers.ts';
import { zeroCounters, type EngineCounters } from './counters.ts';
import { EventStream } from './event-stream.ts';
import { ENGINE_LIMITS, type EngineLimits } from './limits.ts';
import { Listeners } from './listeners.ts';
import { PageOperationQueue } from './page-operation-queue.ts';
import type { EngineStats, GenerateRequest, HeadClient } from './protocol.ts';
import { Recovery } from './recovery.ts';
import { Scheduler } from './scheduler.ts';
import { SequencePages } from './sequence-pages.ts';
import { Sequence } from './sequence.ts';
import { StepLoop, type StepPace } from './step-loop.ts';
import { validateRequest } from './validate-request.ts';

export interface HeadEngineOptions {
  readonly assignment: StageAssignment;
  readonly ring: RingHead;
  readonly clock: Clock;
  readonly limits?: Partial<EngineLimits>;
  /** Told about steps, so that other work on this shard fits between them. */
  readonly pace?: StepPace;
  /** How long a ring without work stays open. */
  readonly idleCloseMs?: number;
}

export class HeadEngine implements HeadClient {
  readonly #assignment: StageAssignment;
  readonly #ring: RingHead;
  readonly #limits: EngineLimits;
  readonly #cache: PrefixCache;
  readonly #scheduler: Scheduler;
  readonly #listeners: Listeners;
  readonly #answers: Answers;
  readonly #loop: StepLoop;
  readonly #counters: EngineCounters;
  #nextSequenceId = 1;

  constructor(options: HeadEngineOptions) {
    const { assignment, ring, clock } = options;
    const limits = { ...ENGINE_LIMITS, ...options.limits };
    const counters = zeroCounters();
    const cache = new PrefixCache(assignment.numPages);
    const operations = new PageOperationQueue(limits);
    const hasStored = ring.hasStored.bind(ring);
    const pages = new SequencePages({ cache, operations, counters, clock, hasStored });
    this.#assignment = assignment;
    this.#ring = ring;
    this.#limits = limits;
    this.#cache = cache;
    this.#counters = counters;
    const { sequenceTokensMax } = this;
    const stepsInFlightMax = Math.min(limits.stepsInFlightMax, assignment.stepsInFlightMax);
    const sequencesRunningMax = Math.min(limits.sequencesRunningMax, assignment.numTokensMax);
    const draftStepTokensMax = Math.min(limits.draftStepTokensMax, assignment.numTokensMax);
    const { sequencesWaitingMax, readerStallMs } = limits;
    const { numTokensMax, numLogitRowsMax } = assignment;
    const bounds = { numTokensMax, sequencesRunningMax, sequencesWaitingMax, stepsInFlightMax, draftStepTokensMax };
    const scheduler = new Scheduler({ ...bounds, sequenceTokensMax }, pages);
    const listeners = new Listeners({ clock, readerStallMs, onStalled: (sequence) => this.#giveUpReader(sequence) });
    const answers = new Answers({ scheduler, counters, listeners, sequenceTokensMax });
    const recovery = new Recovery({ ring, clock, limits, scheduler, pages, answers });
    const idleCloseMs = options.idleCloseMs ?? RING_TIMINGS.idleCloseMs;
    this.#scheduler = scheduler;
    this.#listeners = listeners;
    this.#answers = answers;
    const parts = { ring, clock, scheduler, pages, operations, answers, recovery, counters };
    const pace = options.pace ?? null;
    this.#loop = new StepLoop({ ...parts, sequencesRunningMax, stepsInFlightMax, numLogitRowsMax, pace, idleCloseMs });
  }

  /** Longest sequence, prompt and output together, whose tokens are computed. */
  get sequenceTokensMax(): number {
    return Math.min(this.#assignment.contextLengthMax, this.#assignment.numPages * PAGE_SIZE_TOKENS);
  }

  async generate(request: GenerateRequest): Promise<ReadableStream<Uint8Array>> {
    const config = await this.#ring.readConfig();
    if (!config.ok) {
      return this.#refuse({ type: 'error', ...config.error, code: 'not_ready' });
    }
    const { vocabSize } = config.value;
    const valid = validateRequest(request, { vocabSize, sequenceTokensMax: this.sequenceTokensMax });
    if (!valid.ok) {
      return this.#refuse({ type: 'error', ...valid.error });
    }
    const sequence = new Sequence(this.#nextSequenceId++, request, this.#cache.pool);
    if (!this.#scheduler.add(sequence)) {
      const message = `${this.#scheduler.numWaiting} requests wait already: try again later or on another replica`;
      return this.#refuse({ type: 'error', code: 'queue_full', message, retryable: true });
    }
    const stream = new EventStream(this.#limits.eventBytesMax, {
      onDrained: () => {
        if (this.#listeners.resume(sequence)) {
          this.#loop.wake();
        }
      },
      onCancel: () => {
        this.#answers.drop(sequence);
        this.#loop.wake();
      },
    });
    this.#listeners.add(sequence, stream);
    const { numRunning, numWaiting } = this.#scheduler;
    stream.write({ type: 'accepted', load: { numRunning, numWaiting } });
    if (request.numPromptLogprobs !== null) {
      this.#answers.sendPromptLogprobs(sequence);
    }
    this.#loop.wake();
    return stream.readable;
  }

  stats(): Promise<EngineStats> {
    return Promise.resolve({
      model: this.#assignment.model,
      stageCount: this.#assignment.stageCount,
      ringOpen: this.#ring.isOpen,
      numWaiting: this.#scheduler.numWaiting,
      numRunning: this.#scheduler.numRunning,
      numPreemptionsTotal: this.#scheduler.numPreemptionsTotal,
      numPages: this.#cache.pool.numPages,
      numFreePages: this.#cache.pool.numAvailablePages,
      numCachedPages: this.#cache.pool.numCachedPages,
      pageSizeTokens: PAGE_SIZE_TOKENS,
      ...this.#counters,
    });
  }

  #refuse(event: ErrorEvent): ReadableStream<Uint8Array> {
    const stream = new EventStream(this.#limits.eventBytesMax, { onDrained() {}, onCancel() {} });
    stream.write(event);
    stream.end();
    return stream.readable;
  }

  #giveUpReader(sequence: Sequence): void {
    const message = `nobody read the answer for ${this.#limits.readerStallMs} ms`;
    this.#answers.fail(sequence, { type: 'error', code: 'internal', message, retryable: true });
    this.#loop.wake();
  }
}
