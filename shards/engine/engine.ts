/**
 * The engine of a head shard: takes requests, runs steps until all are answered, and turns what comes back into events.
 * It puts the parts together: the scheduler decides what runs, the step loop runs it on the ring, the answers tell it.
 */
import { PAGE_SIZE_TOKENS } from '../../wasm/host/stage-runtime.ts';
import { PagePool } from '../kv/page-pool.ts';
import type { RingHead } from '../link/ring-head.ts';
import { RING_TIMINGS } from '../link/ring-protocol.ts';
import type { StageAssignment } from '../model/assignment.ts';
import type { Clock } from '../platform/clock.ts';
import { Answers, type ErrorEvent } from './answers.ts';
import { zeroCounters } from './counters.ts';
import { EventStream } from './event-stream.ts';
import { ENGINE_LIMITS, type EngineLimits } from './limits.ts';
import { Listeners } from './listeners.ts';
import type { EngineStats, GenerateRequest, HeadClient } from './protocol.ts';
import { Recovery } from './recovery.ts';
import { Scheduler } from './scheduler.ts';
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
  readonly #pool: PagePool;
  readonly #scheduler: Scheduler;
  readonly #listeners: Listeners;
  readonly #answers: Answers;
  readonly #loop: StepLoop;
  readonly #counters = zeroCounters();
  #nextSequenceId = 1;

  constructor(options: HeadEngineOptions) {
    const { assignment, ring, clock } = options;
    const limits = { ...ENGINE_LIMITS, ...options.limits };
    const stepsInFlightMax = Math.min(limits.stepsInFlightMax, assignment.stepsInFlightMax);
    this.#assignment = assignment;
    this.#ring = ring;
    this.#limits = limits;
    this.#pool = new PagePool(assignment.numPages);
    this.#scheduler = new Scheduler({
      numTokensMax: assignment.numTokensMax,
      sequencesRunningMax: Math.min(limits.sequencesRunningMax, assignment.numTokensMax),
      sequencesWaitingMax: limits.sequencesWaitingMax,
      stepsInFlightMax,
      draftStepTokensMax: Math.min(limits.draftStepTokensMax, assignment.numTokensMax),
      sequenceTokensMax: this.sequenceTokensMax,
    });
    const { readerStallMs } = limits;
    const onStalled = (sequence: Sequence): void => this.#giveUpReader(sequence);
    const [scheduler, counters] = [this.#scheduler, this.#counters];
    this.#listeners = new Listeners({ clock, readerStallMs, onStalled });
    this.#answers = new Answers({
      scheduler,
      counters,
      listeners: this.#listeners,
      sequenceTokensMax: this.sequenceTokensMax,
    });
    const answers = this.#answers;
    this.#loop = new StepLoop({
      ring,
      clock,
      scheduler,
      answers,
      counters,
      recovery: new Recovery({ ring, clock, limits, scheduler, answers }),
      stepsInFlightMax,
      numLogitRowsMax: assignment.numLogitRowsMax,
      pace: options.pace ?? null,
      idleCloseMs: options.idleCloseMs ?? RING_TIMINGS.idleCloseMs,
    });
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
    const sequence = new Sequence(this.#nextSequenceId++, request, this.#pool);
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
      numPages: this.#pool.numPages,
      numFreePages: this.#pool.numAvailablePages,
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
