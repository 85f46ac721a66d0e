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
import { err, ok, type Result } from '../result.ts';
import { Answers } from './answers.ts';
import { zeroCounters, type EngineCounters } from './counters.ts';
import { EventStream } from './event-stream.ts';
import { ENGINE_LIMITS, type EngineLimits } from './limits.ts';
import { Listeners, type EventSink } from './listeners.ts';
import { PageOperationQueue } from './page-operation-queue.ts';
import { PrefixKeeper, type PrefixKeeperOptions } from './prefix-keeper.ts';
import type {
  DrainClient,
  PrefixClient,
  PrefixFailure,
  PromptPrefix,
  WarmedPrefix,
  WarmPrefixRequest,
} from './prefix-protocol.ts';
import type { EngineStats, GenerateRequest, HeadClient } from './protocol.ts';
import { Recovery } from './recovery.ts';
import { Scheduler } from './scheduler.ts';
import { SequencePages } from './sequence-pages.ts';
import { Sequence } from './sequence.ts';
import { StepCost } from './step-cost.ts';
import { StepLoop, type StepPace } from './step-loop.ts';
import { validateRequest } from './validate-request.ts';
import { WaitEstimate } from './wait-estimate.ts';

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

export class HeadEngine implements HeadClient, PrefixClient, DrainClient {
  readonly #assignment: StageAssignment;
  readonly #ring: RingHead;
  readonly #limits: EngineLimits;
  readonly #cache: PrefixCache;
  readonly #scheduler: Scheduler;
  readonly #listeners: Listeners;
  readonly #answers: Answers;
  readonly #waitEstimate: WaitEstimate;
  readonly #loop: StepLoop;
  readonly #counters: EngineCounters;
  readonly #prefixes: PrefixKeeper;
  #nextSequenceId = 1;
  #isDraining = false;

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
    const { sequencesWaitingMax, tenantWaitingMax, resumedWaitingMax, readerStallMs, stalledWaitingMax } = limits;
    const waitingLimits = { sequencesWaitingMax, tenantWaitingMax, resumedWaitingMax };
    const { numTokensMax, numLogitRowsMax } = assignment;
    const bounds = { numTokensMax, sequencesRunningMax, ...waitingLimits, stepsInFlightMax, draftStepTokensMax };
    const stepCost = new StepCost();
    const costOfStep = stepCost.of.bind(stepCost);
    const scheduler = new Scheduler({ ...bounds, sequenceTokensMax }, pages, costOfStep);
    const listeners = new Listeners({ clock, readerStallMs, onStalled: (sequence) => this.#giveUpReader(sequence) });
    const waitEstimate = new WaitEstimate(clock);
    const answerLimits = { sequenceTokensMax, stalledWaitingMax };
    const answers = new Answers({ scheduler, counters, listeners, waitEstimate, ...answerLimits });
    const recovery = new Recovery({ ring, clock, limits, scheduler, pages, answers });
    const idleCloseMs = options.idleCloseMs ?? RING_TIMINGS.idleCloseMs;
    this.#scheduler = scheduler;
    this.#listeners = listeners;
    this.#answers = answers;
    this.#waitEstimate = waitEstimate;
    const parts = { ring, clock, scheduler, pages, operations, answers, recovery, counters, waitEstimate, stepCost };
    const pace = options.pace ?? null;
    this.#loop = new StepLoop({ ...parts, sequencesRunningMax, stepsInFlightMax, numLogitRowsMax, pace, idleCloseMs });
    const start: PrefixKeeperOptions['start'] = async (request, sink) => {
      const started = await this.#start(request, sink);
      return started.ok ? null : started.error;
    };
    this.#prefixes = new PrefixKeeper({ ring, clock, cache, pages, loop: this.#loop, start });
  }

  /** Longest sequence, prompt and output together, whose tokens are computed. */
  get sequenceTokensMax(): number {
    return Math.min(this.#assignment.contextLengthMax, this.#assignment.numPages * PAGE_SIZE_TOKENS);
  }

  async generate(request: GenerateRequest): Promise<ReadableStream<Uint8Array>> {
    let sequence: Sequence | null = null;
    const stream = new EventStream(this.#limits.eventBytesMax, {
      onDrained: () => {
        if (sequence !== null && this.#listeners.resume(sequence)) {
          this.#loop.wake();
        }
      },
      onCancel: () => {
        if (sequence !== null) {
          this.#answers.drop(sequence);
          this.#loop.wake();
        }
      },
    });
    const started = await this.#start(request, stream);
    if (started.ok) {
      sequence = started.value;
    } else {
      stream.write({ type: 'error', ...started.error });
      stream.end();
    }
    return stream.readable;
  }

  warmPrefix(request: WarmPrefixRequest): Promise<Result<WarmedPrefix, PrefixFailure>> {
    return this.#prefixes.warm(request);
  }

  unpinPrefix(prefix: PromptPrefix): Promise<Result<null, PrefixFailure>> {
    return this.#prefixes.unpin(prefix);
  }

  deleteTenant(cacheSalt: string): Promise<Result<null, PrefixFailure>> {
    for (const sequence of this.#scheduler.sequences) {
      sequence.keepsPages = sequence.keepsPages && sequence.request.cacheSalt !== cacheSalt;
    }
    return this.#prefixes.deleteTenant(cacheSalt);
  }

  drain(): Promise<void> {
    this.#isDraining = true;
    return Promise.resolve();
  }

  resume(): Promise<void> {
    this.#isDraining = false;
    return Promise.resolve();
  }

  stats(): Promise<EngineStats> {
    return Promise.resolve({
      model: this.#assignment.model,
      stageCount: this.#assignment.stageCount,
      ringOpen: this.#ring.isOpen,
      isDraining: this.#isDraining,
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

  /** What it holds at this moment, for checkers. Not to be changed. */
  inspect(): { readonly cache: PrefixCache; readonly sequences: readonly Sequence[] } {
    return { cache: this.#cache, sequences: this.#scheduler.sequences };
  }

  /** Checks a request and queues its sequence. Nothing is computed before the caller has had its turn. */
  async #start(request: GenerateRequest, sink: EventSink): Promise<Result<Sequence, PrefixFailure>> {
    const config = await this.#ring.readConfig();
    if (!config.ok) {
      return err({ ...config.error, code: 'not_ready' });
    }
    if (this.#isDraining) {
      const message = 'this replica takes no new requests: send it to another one, or later';
      return err({ code: 'draining', message, retryable: true });
    }
    const { vocabSize } = config.value;
    const valid = validateRequest(request, { vocabSize, sequenceTokensMax: this.sequenceTokensMax });
    if (!valid.ok) {
      return valid;
    }
    const sequence = new Sequence(this.#nextSequenceId++, request, this.#cache.pool);
    const added = this.#scheduler.add(sequence);
    if (added !== 'added') {
      return err(this.#queueFull(added));
    }
    const { numRunning, numWaiting } = this.#scheduler;
    this.#listeners.accept(sequence, sink, { numRunning, numWaiting });
    if (request.numPromptLogprobs !== null) {
      this.#answers.sendPromptLogprobs(sequence);
    }
    this.#loop.wake();
    return ok(sequence);
  }

  #queueFull(reason: 'queue_full' | 'tenant_full'): PrefixFailure {
    const message =
      reason === 'queue_full'
        ? `${this.#scheduler.numWaiting} requests wait already: try again later or on another replica`
        : `${this.#limits.tenantWaitingMax} requests of yours wait already: try again when some of them are answered`;
    const work = this.#scheduler.waitingWork((numTokensMax) => this.#waitEstimate.outputTokens(numTokensMax));
    return { code: 'queue_full', message, retryable: true, retryAfterMs: this.#waitEstimate.waitMs(work) };
  }

  #giveUpReader(sequence: Sequence): void {
    const message = `nobody read the answer for ${this.#limits.readerStallMs} ms`;
    this.#answers.fail(sequence, { type: 'error', code: 'internal', message, retryable: true });
    this.#loop.wake();
  }
}
