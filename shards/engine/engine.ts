/**
 * The engine of a head shard: takes requests, runs steps until all are answered, and turns what comes back into events.
 * It owns the life of a sequence; the scheduler decides what runs, the ring runs it, the sampler chooses.
 */
import { PAGE_SIZE_TOKENS } from '../../wasm/host/stage-runtime.ts';
import { PagePool } from '../kv/page-pool.ts';
import type { RingHead } from '../link/ring-head.ts';
import { RING_TIMINGS, type StageFailure } from '../link/ring-protocol.ts';
import type { StageAssignment } from '../model/assignment.ts';
import { sleep, type Clock, type Timer } from '../platform/clock.ts';
import { describeError } from '../result.ts';
import { Sampler } from '../sampling/sampler.ts';
import { EventStream } from './event-stream.ts';
import { ENGINE_LIMITS, type EngineLimits } from './limits.ts';
import { buildMicroBatch, type MicroBatch, type ResultRow } from './micro-batch.ts';
import type { EngineStats, GenerateEvent, GenerateRequest, HeadClient } from './protocol.ts';
import { Scheduler } from './scheduler.ts';
import { Sequence } from './sequence.ts';
import { StepsInFlight, type ReturnedStep } from './steps-in-flight.ts';
import { isUsable, takeLogits, type LogitsOutcome } from './take-logits.ts';
import { validateRequest } from './validate-request.ts';

export interface HeadEngineOptions {
  readonly assignment: StageAssignment;
  readonly ring: RingHead;
  readonly clock: Clock;
  readonly limits?: Partial<EngineLimits>;
  /** How long a ring without work stays open. */
  readonly idleCloseMs?: number;
}

/** What the engine keeps beside a sequence while its client listens. */
interface Listener {
  readonly stream: EventStream;
  stallTimer: Timer | null;
}

type ErrorEvent = Extract<GenerateEvent, { type: 'error' }>;

export class HeadEngine implements HeadClient {
  readonly #assignment: StageAssignment;
  readonly #ring: RingHead;
  readonly #clock: Clock;
  readonly #limits: EngineLimits;
  readonly #idleCloseMs: number;
  readonly #pool: PagePool;
  readonly #scheduler: Scheduler;
  readonly #listeners = new Map<Sequence, Listener>();
  readonly #stepsInFlightMax: number;
  readonly #inFlight = new StepsInFlight();
  #sampler: Sampler | null = null;
  #nextSequenceId = 1;
  #isLooping = false;
  #idleTimer: Timer | null = null;
  #numFailuresInRow = 0;
  #numStepsTotal = 0;
  #numPromptTokensTotal = 0;
  #numGeneratedTokensTotal = 0;
  #numDraftTokensTotal = 0;
  #numAcceptedDraftTokensTotal = 0;

  constructor(options: HeadEngineOptions) {
    const { assignment } = options;
    this.#assignment = assignment;
    this.#ring = options.ring;
    this.#clock = options.clock;
    this.#limits = { ...ENGINE_LIMITS, ...options.limits };
    this.#idleCloseMs = options.idleCloseMs ?? RING_TIMINGS.idleCloseMs;
    this.#pool = new PagePool(assignment.numPages);
    this.#stepsInFlightMax = Math.min(this.#limits.stepsInFlightMax, assignment.stepsInFlightMax);
    this.#scheduler = new Scheduler({
      numTokensMax: assignment.numTokensMax,
      sequencesRunningMax: Math.min(this.#limits.sequencesRunningMax, assignment.numTokensMax),
      sequencesWaitingMax: this.#limits.sequencesWaitingMax,
      stepsInFlightMax: this.#stepsInFlightMax,
      draftStepTokensMax: Math.min(this.#limits.draftStepTokensMax, assignment.numTokensMax),
      sequenceTokensMax: this.sequenceTokensMax,
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
      onDrained: () => this.#resume(sequence),
      onCancel: () => this.#drop(sequence),
    });
    this.#listeners.set(sequence, { stream, stallTimer: null });
    if (request.numPromptLogprobs !== null) {
      this.#sendPromptLogprobs(sequence);
    }
    this.#wake();
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
      numFreePages: this.#pool.numFreePages,
      pageSizeTokens: PAGE_SIZE_TOKENS,
      numStepsTotal: this.#numStepsTotal,
      numPromptTokensTotal: this.#numPromptTokensTotal,
      numGeneratedTokensTotal: this.#numGeneratedTokensTotal,
      numDraftTokensTotal: this.#numDraftTokensTotal,
      numAcceptedDraftTokensTotal: this.#numAcceptedDraftTokensTotal,
    });
  }

  #refuse(event: ErrorEvent): ReadableStream<Uint8Array> {
    const stream = new EventStream(this.#limits.eventBytesMax, { onDrained() {}, onCancel() {} });
    stream.write(event);
    stream.end();
    return stream.readable;
  }

  /** Starts the step loop unless it runs. It stops by itself when no sequence can take part in a step. */
  #wake(): void {
    if (this.#isLooping) {
      this.#inFlight.notify();
      return;
    }
    this.#isLooping = true;
    this.#idleTimer?.cancel();
    this.#loop().catch((thrown: unknown) => {
      this.#endAll('internal', `the engine failed: ${describeError(thrown)}`, true);
      this.#inFlight.takeAll();
      this.#ring.close('the engine failed');
      this.#stopLoop();
    });
  }

  async #loop(): Promise<void> {
    // The first request's caller gets its stream before anything is computed.
    await this.#clock.yieldToEvents();
    for (;;) {
      this.#finishComplete();
      // Sending comes first: then the other stages work while the head takes the logits of what has come back.
      const sent = await this.#sendStep();
      const returned = sent === 'none' ? this.#inFlight.takeReturned() : null;
      if (returned !== null) {
        await this.#takeStep(returned);
      } else if (sent === 'none' && this.#inFlight.size === 0) {
        break;
      } else if (sent === 'none' || this.#isFull) {
        await this.#inFlight.waitForNews();
        continue;
      }
      await this.#clock.yieldToEvents();
    }
    this.#stopLoop();
  }

  get #isFull(): boolean {
    return this.#inFlight.size >= this.#stepsInFlightMax;
  }

  /** In one go with the decision to stop, so that no wake-up falls in between. */
  #stopLoop(): void {
    this.#isLooping = false;
    this.#idleTimer = this.#clock.startTimer(this.#idleCloseMs, () => this.#ring.close('no work'));
  }

  #hasRunnable(): boolean {
    return this.#scheduler.sequences.some((sequence) => !sequence.isPaused);
  }

  /** @returns 'none' when nothing can be sent now, 'failed' when the ring did not open and will be tried again. */
  async #sendStep(): Promise<'sent' | 'none' | 'failed'> {
    if (this.#isFull || !this.#hasRunnable()) {
      return 'none';
    }
    if (!this.#ring.isOpen || this.#ring.isDueForRotation) {
      if (this.#inFlight.size > 0) {
        // The steps of the old epoch come first, with their rows or with what ended them.
        return 'none';
      }
      if (!(await this.#openRing())) {
        return 'failed';
      }
    }
    const scheduled = this.#scheduler.schedule();
    if (scheduled.length === 0) {
      return 'none';
    }
    const batch = buildMicroBatch(scheduled);
    this.#inFlight.add(batch, this.#ring.submit(batch.step));
    return 'sent';
  }

  /** @returns false when the ring did not open; the sequences have been told, or will be tried again. */
  async #openRing(): Promise<boolean> {
    const opened = await this.#ring.open();
    if (!opened.ok) {
      await this.#recover(opened.error, null);
      return false;
    }
    if (!opened.value.kvKept) {
      this.#scheduler.rewindAll();
    }
    return true;
  }

  async #takeStep({ batch, rows }: ReturnedStep): Promise<void> {
    if (!rows.ok) {
      await this.#recover(rows.error, batch);
      return;
    }
    this.#numStepsTotal++;
    this.#numFailuresInRow = 0;
    this.#countTokens(batch);
    this.#scheduler.complete(batch.scheduled);
    await this.#takeRows(batch, rows.value);
  }

  #countTokens({ scheduled }: MicroBatch): void {
    for (const { sequence, startPosition, numTokens, draft } of scheduled) {
      const promptEnd = Math.min(sequence.numPromptTokens, startPosition + numTokens);
      this.#numPromptTokensTotal += Math.max(0, promptEnd - startPosition);
      this.#numDraftTokensTotal += draft?.tokens.length ?? 0;
    }
  }

  /** Computes logits in parts, with room for other events between them: a whole prompt's take seconds. */
  async #takeRows(batch: MicroBatch, rows: Float32Array): Promise<void> {
    const numRows = batch.resultRows.length;
    const rowsPerCall = this.#assignment.numLogitRowsMax;
    const hiddenSize = rows.length / Math.max(1, numRows);
    for (let start = 0; start < numRows; start += rowsPerCall) {
      if (start > 0) {
        await this.#clock.yieldToEvents();
      }
      const end = Math.min(numRows, start + rowsPerCall);
      const logits = this.#ring.logits(rows.subarray(start * hiddenSize, end * hiddenSize));
      if (logits === null) {
        // The ring closed meanwhile. What these rows would have said is computed again with the rest.
        await this.#recover(this.#ring.closeReason, batch);
        return;
      }
      const vocabSize = logits.length / (end - start);
      this.#sampler ??= new Sampler(vocabSize);
      for (let row = start; row < end; row++) {
        const resultRow = batch.resultRows[row] as ResultRow;
        if (isUsable(resultRow)) {
          const view = logits.subarray((row - start) * vocabSize, (row - start + 1) * vocabSize);
          this.#apply(resultRow.sequence, takeLogits(resultRow, view, this.#sampler));
        }
      }
    }
  }

  /** Sends what a row of logits led to. */
  #apply(sequence: Sequence, outcome: LogitsOutcome): void {
    if (outcome.kind === 'prompt_logprob') {
      this.#sendPromptLogprobs(sequence);
      return;
    }
    if (outcome.kind === 'stop') {
      this.#finish(sequence, 'stop');
      return;
    }
    this.#numGeneratedTokensTotal++;
    this.#numAcceptedDraftTokensTotal += outcome.isAcceptedDraft ? 1 : 0;
    this.#write(sequence, { type: 'token', tokenId: outcome.tokenId, logprob: outcome.logprob });
    // The last token that was chosen is only computed when another one is wanted.
    if (!sequence.wantsNextToken || sequence.tokens.length > this.sequenceTokensMax) {
      this.#finish(sequence, 'length');
    }
  }

  /** One event, once all log-probabilities of the prompt are there: at once for a prompt of one token. */
  #sendPromptLogprobs(sequence: Sequence): void {
    if (sequence.promptLogprobs.length === sequence.numPromptTokens - 1) {
      this.#write(sequence, { type: 'prompt', logprobs: sequence.promptLogprobs });
    }
  }

  /** Ends sequences that have nothing left to choose: a prompt alone, or a resumed stream that was complete. */
  #finishComplete(): void {
    for (const sequence of this.#scheduler.sequences) {
      const isPromptDone = sequence.numComputedTokens >= sequence.numPromptTokens || sequence.numOutputTokens > 0;
      const isComplete = !sequence.wantsNextToken && !sequence.wantsPromptLogprobs && isPromptDone;
      if (isComplete || sequence.tokens.length > this.sequenceTokensMax) {
        this.#finish(sequence, 'length');
      }
    }
  }

  #finish(sequence: Sequence, reason: 'stop' | 'length'): void {
    const { numPromptTokens, numOutputTokens } = sequence;
    const counts = { promptTokens: numPromptTokens, completionTokens: numOutputTokens, cachedTokens: 0 };
    this.#write(sequence, { type: 'finish', reason, ...counts });
    this.#end(sequence);
  }

  #write(sequence: Sequence, event: GenerateEvent): void {
    const listener = this.#listeners.get(sequence);
    if (listener === undefined) {
      return;
    }
    listener.stream.write(event);
    if (listener.stream.isFull && !sequence.isPaused) {
      sequence.isPaused = true;
      listener.stallTimer = this.#clock.startTimer(this.#limits.readerStallMs, () => {
        const message = `nobody read the answer for ${this.#limits.readerStallMs} ms`;
        this.#fail(sequence, { type: 'error', code: 'internal', message, retryable: true });
        this.#wake();
      });
    }
  }

  #resume(sequence: Sequence): void {
    const listener = this.#listeners.get(sequence);
    if (sequence.isPaused && listener !== undefined) {
      listener.stallTimer?.cancel();
      sequence.isPaused = false;
      this.#wake();
    }
  }

  /** The client is gone. Steps that are under way with the sequence's pages do no harm: see `PagePool`. */
  #drop(sequence: Sequence): void {
    this.#listeners.get(sequence)?.stallTimer?.cancel();
    this.#listeners.delete(sequence);
    this.#scheduler.finish(sequence);
    this.#wake();
  }

  #fail(sequence: Sequence, event: ErrorEvent): void {
    this.#write(sequence, event);
    this.#end(sequence);
  }

  #end(sequence: Sequence): void {
    this.#scheduler.finish(sequence);
    const listener = this.#listeners.get(sequence);
    listener?.stallTimer?.cancel();
    listener?.stream.end();
    this.#listeners.delete(sequence);
  }

  #endAll(code: ErrorEvent['code'], message: string, retryable: boolean): void {
    for (const sequence of this.#scheduler.sequences) {
      this.#fail(sequence, { type: 'error', code, message, retryable });
    }
  }

  /**
   * A ring did not open, or broke under a batch and all that were sent after it. Sequences that had enough of it end, the
   * others are computed again.
   * @param batch null when it did not open: then every sequence was kept waiting.
   */
  async #recover(failure: StageFailure, batch: MicroBatch | null): Promise<void> {
    this.#scheduler.rewindAll();
    const scheduled = batch === null ? null : [batch, ...this.#inFlight.takeAll()].flatMap((lost) => lost.scheduled);
    const affected = scheduled?.map(({ sequence }) => sequence) ?? this.#scheduler.sequences;
    for (const sequence of new Set(affected)) {
      sequence.numRingFailures++;
      if (!failure.retryable || sequence.numRingFailures > this.#limits.ringFailuresMax) {
        const message = `the ring failed ${sequence.numRingFailures} times: ${failure.message}`;
        this.#fail(sequence, { type: 'error', code: 'ring_failed', message, retryable: failure.retryable });
      }
    }
    if (this.#numFailuresInRow > 0 && this.#hasRunnable()) {
      const delayMs = this.#limits.reopenDelayMs * 2 ** (this.#numFailuresInRow - 1);
      await sleep(this.#clock, Math.min(delayMs, this.#limits.reopenDelayMsMax));
    }
    this.#numFailuresInRow++;
  }
}
