/**
 * The head's side of a ring: opens it under a new epoch, sends steps round it, and notices when it breaks. What to do
 * about a broken ring is the engine's decision.
 */
import type { ModelConfig } from '../../wasm/host/model-config.ts';
import type { PageKey } from '../kv/page-key.ts';
import type { RuntimeLease } from '../model/runtime-host.ts';
import { assert } from '../../wasm/host/assert.ts';
import { randomId, withDeadline, type Entropy } from '../platform/clock.ts';
import type { FrameLink } from '../platform/link.ts';
import type { PageStore } from '../platform/page-store.ts';
import { describeError, err, ok, type Result } from '../result.ts';
import { decodeFrame } from './decode-frame.ts';
import { encodeFrame } from './encode-frame.ts';
import { InboundLinks } from './handshake.ts';
import { PAGE_OPERATIONS_MAX } from './page-operation.ts';
import { PageOperator } from './page-operator.ts';
import {
  applyPageEdit,
  PAGE_EDIT_KEYS_MAX,
  RING_TIMINGS,
  type PageEdit,
  type PageEditResult,
  type RingTimings,
  type StageFailure,
} from './ring-protocol.ts';
import { openRing, type OpeningEpoch, type RingParts } from './opening.ts';
import { gatherRows } from './rows.ts';
import { StepDeadline, type TimedStep } from './step-deadline.ts';
import { StepWatch } from './step-watch.ts';
import { checkResult, type RingStep, type StepResult } from './ring-step.ts';

export interface RingHeadOptions extends RingParts {
  readonly entropy: Entropy;
  /** The head's part of the pages that last, and the index of all stages'. */
  readonly pageStore: PageStore;
  readonly timings?: RingTimings;
}

export interface RingOpened {
  /** Whether every stage still has the pages of the epoch before, so that running sequences may go on. */
  readonly kvKept: boolean;
}

interface PendingStep {
  readonly step: RingStep;
  readonly timed: TimedStep;
  readonly resolve: (result: Result<StepResult, StageFailure>) => void;
}

interface OpenEpoch {
  readonly epoch: number;
  readonly lease: RuntimeLease;
  /** Null in a ring of one. */
  readonly outbound: FrameLink | null;
  readonly openedMs: number;
  readonly pendingSteps: Map<number, PendingStep>;
  readonly stepDeadline: StepDeadline;
  readonly stepWatch: StepWatch;
  lastStepId: number;
}

export class RingHead {
  readonly #options: RingHeadOptions;
  readonly #timings: RingTimings;
  readonly #inbound: InboundLinks;
  readonly #pages: PageOperator;
  /** The epoch that is open or being opened. */
  #wantedEpoch: number | null = null;
  #open: OpenEpoch | null = null;
  #kvGenerations: readonly number[] | null = null;
  #closeReason: StageFailure = { code: 'superseded', retryable: true, message: 'the ring has not been opened' };

  constructor(options: RingHeadOptions) {
    const { stageCount, stageIndex } = options.assignment;
    assert(stageIndex === 0, 'the head is stage 0');
    assert(options.stages.length === stageCount - 1, 'a ring needs a control for every other stage');
    this.#options = options;
    this.#timings = options.timings ?? RING_TIMINGS;
    this.#pages = new PageOperator(options.pageStore, options.clock, this.#timings.saveDelayMs);
    this.#inbound = new InboundLinks({
      identity: options.assignment,
      clock: options.clock,
      helloDeadlineMs: this.#timings.helloDeadlineMs,
      onFrame: (epoch, bytes) => this.#onFrame(epoch, bytes),
      onClose: (epoch, reason) => this.#failLink(epoch, `the last stage closed the link: ${reason}`),
    });
  }

  get isOpen(): boolean {
    return this.#open !== null;
  }

  /** Whether the ring has the lease of its runtime, or is about to: it is open or opens. */
  get isInUse(): boolean {
    return this.#wantedEpoch !== null;
  }

  /** Whether the links should be replaced while no step is under way. */
  get isDueForRotation(): boolean {
    const isRing = this.#options.assignment.stageCount > 1;
    return (
      isRing && this.#open !== null && this.#options.clock.nowMs() - this.#open.openedMs >= this.#timings.rotateAfterMs
    );
  }

  /** What closed the last epoch; of a ring that has never been open, that it is closed. */
  get closeReason(): StageFailure {
    return this.#closeReason;
  }

  /** The model's shape, without opening the ring. */
  readConfig(): Promise<Result<ModelConfig, StageFailure>> {
    return this.#options.host.readConfig(this.#options.assets);
  }

  /** Takes a link that the last stage opened. */
  acceptLink(link: FrameLink): void {
    this.#inbound.accept(link);
  }

  /** Loads all stages and links them under a new epoch. An epoch that is open is closed first. */
  async open(): Promise<Result<RingOpened, StageFailure>> {
    this.close('a newer epoch begins');
    const { clock, entropy, assignment } = this.#options;
    const epoch = randomId(entropy);
    this.#wantedEpoch = epoch;
    const opening = this.#openAll(epoch);
    const result = await withDeadline(clock, this.#timings.openDeadlineMs, opening);
    const failure: StageFailure | null =
      result === 'timeout'
        ? { code: 'deadline', retryable: true, message: `the ring of ${assignment.stageCount} stages did not open` }
        : result.ok
          ? null
          : result.error;
    if (failure !== null && this.#wantedEpoch === epoch) {
      this.#fail(failure);
    }
    return result === 'timeout' ? err(failure as StageFailure) : result;
  }

  async #openAll(epoch: number): Promise<Result<RingOpened, StageFailure>> {
    const { clock } = this.#options;
    const opening: OpeningEpoch = {
      epoch,
      wantedEpoch: () => this.#wantedEpoch,
      isLinked: () => this.#inbound.has(epoch),
      onClose: (reason) => this.#failLink(epoch, `stage 1 closed the link: ${reason}`),
    };
    const opened = await openRing(this.#options, opening, this.#timings);
    if (!opened.ok) {
      return opened;
    }
    const { lease, outbound, kvGenerations } = opened.value;
    this.#open = {
      epoch,
      lease,
      outbound,
      openedMs: clock.nowMs(),
      pendingSteps: new Map(),
      stepDeadline: new StepDeadline(this.#timings),
      stepWatch: new StepWatch(clock, (stepId) => this.#failLate(stepId)),
      lastStepId: 0,
    };
    const kvKept = kvGenerations.join() === this.#kvGenerations?.join();
    this.#kvGenerations = kvGenerations;
    return ok({ kvKept });
  }

  /** Whether the head has the page, and so presumably the other stages. */
  hasStored(key: PageKey): boolean {
    return this.#pages.has(key);
  }

  /** Changes what all stages keep; the ring need not be open. Steps under way may still save. */
  async editPages(edit: PageEdit): Promise<Result<PageEditResult, StageFailure>> {
    const numKeys = edit.kind === 'deleteTenant' ? 0 : edit.keys.length;
    assert(numKeys <= PAGE_EDIT_KEYS_MAX, `an edit of ${numKeys} pages, at most ${PAGE_EDIT_KEYS_MAX} go in one`);
    const { stages } = this.#options;
    const edited = await Promise.allSettled([
      this.#editOwnPages(edit),
      ...stages.map((stage) => stage.editPages(edit)),
    ]);
    let isMoreLeft = false;
    for (const [stageIndex, result] of edited.entries()) {
      if (result.status === 'rejected') {
        const message = `stage ${stageIndex} has not changed what it keeps: ${describeError(result.reason)}`;
        return err({ code: 'link', retryable: true, message });
      }
      isMoreLeft ||= result.value.isMoreLeft;
    }
    return ok({ isMoreLeft });
  }

  /** Rejects when the store cannot: its disk may be full. */
  async #editOwnPages(edit: PageEdit): Promise<PageEditResult> {
    // Nothing that was saved before may come to the store after.
    this.#pages.flush();
    return applyPageEdit(this.#options.pageStore, edit);
  }

  /**
   * Sends page operations and a micro-batch round the ring.
   * @returns what came back; or why the epoch ended, in which case the pages of its sequences hold nothing that may be
   * relied on.
   */
  submit(step: RingStep): Promise<Result<StepResult, StageFailure>> {
    const numOperations = step.pageOperations.length;
    assert(
      numOperations <= PAGE_OPERATIONS_MAX,
      `${numOperations} page operations, at most ${PAGE_OPERATIONS_MAX} go in a step`,
    );
    assert(numOperations + step.sequences.length > 0, 'a step without anything to do');
    const open = this.#open;
    if (open === null) {
      return Promise.resolve(err(this.#closeReason));
    }
    const stepId = ++open.lastStepId;
    try {
      const nowMs = this.#options.clock.nowMs();
      this.#options.host.touch(this.#options.owner, nowMs);
      const missing = this.#compute(open.lease, step);
      const { runtime, config } = open.lease;
      const { hiddenSize } = config;
      const { sequences, pageOperations, tokenIds } = step;
      const { epoch, outbound } = open;
      if (outbound === null) {
        return Promise.resolve(ok({ rows: gatherRows(runtime.hiddenStates, hiddenSize, sequences), missing }));
      }
      const hiddenStates = runtime.hiddenStates.subarray(0, tokenIds.length * hiddenSize);
      const frame = encodeFrame({
        kind: 'step',
        epoch,
        stepId,
        hiddenSize,
        pageOperations,
        missing,
        sequences,
        hiddenStates,
      });
      const result = this.#awaitResult(open, stepId, step, nowMs);
      outbound.send(frame);
      return result;
    } catch (thrown) {
      // Nobody knows what a kernel had written when it stopped.
      this.#options.host.invalidateContents(this.#options.owner);
      const message = `the head failed: ${describeError(thrown)}`;
      const failure: StageFailure = { code: 'crashed', retryable: true, message };
      this.#fail(failure);
      return Promise.resolve(err(failure));
    }
  }

  /** The head's part of a step. @returns the operations whose page it does not have */
  #compute({ runtime }: RuntimeLease, { pageOperations, sequences, tokenIds }: RingStep): readonly number[] {
    const missing = this.#pages.run(runtime, pageOperations);
    if (sequences.length > 0) {
      runtime.embed(tokenIds);
      runtime.forward(sequences);
    }
    return missing;
  }

  #awaitResult(
    open: OpenEpoch,
    stepId: number,
    step: RingStep,
    nowMs: number,
  ): Promise<Result<StepResult, StageFailure>> {
    const timed = open.stepDeadline.sent(step.tokenIds.length, step.pageOperations.length, nowMs);
    open.stepWatch.add(stepId, nowMs, timed.deadlineMs);
    return new Promise((resolve) => open.pendingSteps.set(stepId, { step, timed, resolve }));
  }

  #failLate(stepId: number): void {
    const deadlineMs = this.#open?.pendingSteps.get(stepId)?.timed.deadlineMs ?? 0;
    const message = `step ${stepId} did not come back within ${Math.round(deadlineMs)} ms`;
    this.#fail({ code: 'deadline', retryable: true, message });
  }

  /**
   * Final norm and LM head of rows that `submit` returned.
   * @param rows `[at most numLogitRowsMax, hiddenSize]`
   * @returns a view `[number of rows, vocabSize]`, valid until the next call of any method; null when the ring is closed.
   */
  logits(rows: Float32Array): Float32Array<ArrayBuffer> | null {
    if (this.#open === null) {
      return null;
    }
    const { runtime, config } = this.#open.lease;
    runtime.hiddenStates.set(rows);
    return runtime.logits(Array.from({ length: rows.length / config.hiddenSize }, (_, row) => row));
  }

  /** Closes the links and gives the memory back; steps under way fail. */
  close(reason: string): void {
    if (this.#wantedEpoch !== null) {
      this.#fail({ code: 'superseded', retryable: true, message: reason });
    }
  }

  #onFrame(epoch: number, bytes: Uint8Array<ArrayBuffer>): void {
    const open = this.#open;
    if (open === null || open.epoch !== epoch) {
      return;
    }
    try {
      const frame = decodeFrame(bytes);
      assert(frame.kind === 'result' && frame.epoch === epoch, `a ${frame.kind} frame came instead of a result`);
      const pending = open.pendingSteps.get(frame.stepId);
      if (pending === undefined) {
        // A result that was delivered twice.
        return;
      }
      checkResult(frame, pending.step, open.lease.config.hiddenSize);
      open.pendingSteps.delete(frame.stepId);
      open.stepDeadline.received(pending.timed, this.#options.clock.nowMs());
      open.stepWatch.remove(frame.stepId);
      pending.resolve(ok({ rows: frame.hiddenStates, missing: frame.missing }));
    } catch (thrown) {
      this.#fail({ code: 'crashed', retryable: true, message: `bad result: ${describeError(thrown)}` });
    }
  }

  #failLink(epoch: number, message: string): void {
    if (this.#wantedEpoch === epoch) {
      this.#fail({ code: 'link', retryable: true, message });
    }
  }

  /** Ends the current epoch, whatever state it is in. */
  #fail(failure: StageFailure): void {
    const open = this.#open;
    this.#open = null;
    this.#wantedEpoch = null;
    this.#closeReason = failure;
    this.#options.host.release(this.#options.owner);
    this.#inbound.closeOthers(null, failure.message);
    open?.outbound?.close(failure.message);
    open?.stepWatch.end();
    this.#pages.flush();
    for (const pending of open?.pendingSteps.values() ?? []) {
      pending.resolve(err(failure));
    }
  }
}
