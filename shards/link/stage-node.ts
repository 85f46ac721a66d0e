/** A stage other than the head: runs its layers on every frame that comes in and passes the frame on. */
import { KV_FORMAT_VERSION } from '../../wasm/host/kv-format.ts';
import type { RuntimeHost, RuntimeLease } from '../model/runtime-host.ts';
import type { StageAssignment } from '../model/assignment.ts';
import type { AssetSource } from '../platform/assets.ts';
import type { Clock, Timer } from '../platform/clock.ts';
import type { FrameLink, LinkConnector } from '../platform/link.ts';
import type { PageStore } from '../platform/page-store.ts';
import { releaseBytes } from '../platform/release-bytes.ts';
import { describeError, err, ok, type Result } from '../result.ts';
import { decodeFrame } from './decode-frame.ts';
import { encodeFrame, rewriteHiddenStates } from './encode-frame.ts';
import { FRAME_VERSION, FrameError, type StepFrame } from './frame.ts';
import { connectToNext, InboundLinks } from './handshake.ts';
import { PageOperator, unionOf } from './page-operator.ts';
import { gatherRows } from './rows.ts';
import {
  applyPageEdit,
  RING_TIMINGS,
  type OpenStageRequest,
  type OpenStageResult,
  type PageEdit,
  type PageEditResult,
  type RingTimings,
  type StageControl,
  type StageFailure,
} from './ring-protocol.ts';

export interface StageNodeOptions {
  readonly assignment: StageAssignment;
  /** Names this object among those that share the isolate. */
  readonly owner: string;
  readonly host: RuntimeHost;
  readonly assets: AssetSource;
  readonly connectNext: LinkConnector;
  readonly clock: Clock;
  /** This stage's part of the pages that last. */
  readonly pageStore: PageStore;
  readonly timings?: RingTimings;
}

/** In what all stages of a ring are equal. */
const AGREED_FIELDS = [
  'protocolVersion',
  'kvFormatVersion',
  'manifestSha256',
  'stageCount',
  'numPages',
  'numTokensMax',
  'contextLengthMax',
] as const;

/** The epoch that this stage takes part in. */
interface ActiveEpoch {
  readonly epoch: number;
  readonly lease: RuntimeLease;
  readonly outbound: FrameLink;
  lastStepId: number;
  lastFrameMs: number;
  idleTimer: Timer | null;
}

export class StageNode implements StageControl {
  readonly #options: StageNodeOptions;
  readonly #timings: RingTimings;
  readonly #inbound: InboundLinks;
  readonly #pages: PageOperator;
  /** The epoch of the head's latest open call, whether or not it is active yet. */
  #wantedEpoch: number | null = null;
  #active: ActiveEpoch | null = null;
  #lastClose = 'the stage has not been opened';

  constructor(options: StageNodeOptions) {
    this.#options = options;
    this.#timings = options.timings ?? RING_TIMINGS;
    this.#pages = new PageOperator(options.pageStore, options.clock, this.#timings.saveDelayMs);
    this.#inbound = new InboundLinks({
      identity: options.assignment,
      clock: options.clock,
      helloDeadlineMs: this.#timings.helloDeadlineMs,
      onFrame: (epoch, bytes) => {
        if (!this.#onFrame(epoch, bytes)) {
          releaseBytes(bytes);
        }
      },
      onClose: (epoch, reason) => this.#leave(epoch, `the previous stage closed the link: ${reason}`),
    });
  }

  get isOpen(): boolean {
    return this.#active !== null;
  }

  /** Why the last epoch ended, for people. */
  get lastClose(): string {
    return this.#lastClose;
  }

  /** Takes a link that the previous stage opened. */
  acceptLink(link: FrameLink): void {
    this.#inbound.accept(link);
  }

  /** Makes `request.epoch` the current one: loads the weights, links to the next stage, forgets earlier epochs. */
  async openStage(request: OpenStageRequest): Promise<OpenStageResult> {
    const { assignment, host, assets, owner, connectNext, clock } = this.#options;
    const mismatch = findMismatch(assignment, request);
    if (mismatch !== null) {
      return err(mismatch);
    }
    const { epoch } = request;
    this.#deactivate('a newer epoch begins');
    this.#wantedEpoch = epoch;
    this.#inbound.closeOthers(epoch, 'a newer epoch begins');
    const [acquired, connected] = await Promise.all([
      host.acquire(owner, assets),
      connectToNext({
        connect: connectNext,
        identity: assignment,
        epoch,
        clock,
        helloDeadlineMs: this.#timings.helloDeadlineMs,
        onClose: (reason) => this.#leave(epoch, `the next stage closed the link: ${reason}`),
      }),
    ]);
    if (!acquired.ok || !connected.ok || this.#wantedEpoch !== epoch) {
      return this.#abandonOpening(epoch, acquired, connected);
    }
    const lease = acquired.value;
    const active: ActiveEpoch = {
      epoch,
      lease,
      outbound: connected.value,
      lastStepId: 0,
      lastFrameMs: clock.nowMs(),
      idleTimer: null,
    };
    this.#active = active;
    this.#watchIdle(active, this.#timings.stageIdleCloseMs);
    const { layerStart, layerEnd } = assignment;
    return ok({ layerStart, layerEnd, kvGeneration: lease.kvGeneration });
  }

  editPages(edit: PageEdit): Promise<PageEditResult> {
    // Nothing that was saved before may come to the store after.
    this.#pages.flush();
    return Promise.resolve(applyPageEdit(this.#options.pageStore, edit));
  }

  /** Gives back what a failed or overtaken opening had taken, and says why it failed. */
  #abandonOpening(
    epoch: number,
    acquired: Result<RuntimeLease, StageFailure>,
    connected: Result<FrameLink, StageFailure>,
  ): OpenStageResult {
    if (connected.ok) {
      connected.value.close('the epoch did not open');
    }
    // A newer opening of this object uses the same lease.
    if (acquired.ok && (this.#wantedEpoch === epoch || this.#wantedEpoch === null)) {
      this.#options.host.release(this.#options.owner);
    }
    if (!acquired.ok) {
      return acquired;
    }
    if (!connected.ok) {
      return connected;
    }
    return err({ code: 'superseded', retryable: true, message: `epoch ${epoch} was overtaken or closed` });
  }

  /** @returns whether `bytes` went on to the next stage, and so are no longer this one's. */
  #onFrame(epoch: number, bytes: Uint8Array<ArrayBuffer>): boolean {
    const active = this.#active;
    if (active === null || active.epoch !== epoch) {
      return false;
    }
    try {
      const frame = decodeFrame(bytes);
      if (frame.kind !== 'step' || frame.epoch !== epoch) {
        throw new FrameError('bad_kind', `a ${frame.kind} frame of epoch ${frame.epoch} came by the link of ${epoch}`);
      }
      const { clock, host, owner } = this.#options;
      active.lastFrameMs = clock.nowMs();
      if (frame.stepId <= active.lastStepId) {
        return false;
      }
      if (frame.stepId !== active.lastStepId + 1) {
        throw new FrameError('bad_field', `step ${frame.stepId} came after step ${active.lastStepId}`);
      }
      active.lastStepId = frame.stepId;
      host.touch(owner, active.lastFrameMs);
      const next = this.#runStep(active.lease, frame, bytes);
      active.outbound.send(next);
      return next === bytes;
    } catch (thrown) {
      if (!(thrown instanceof FrameError)) {
        // Nobody knows what a kernel had written when it stopped.
        this.#options.host.invalidateContents(this.#options.owner);
      }
      this.#leave(epoch, `stage ${this.#options.assignment.stageIndex} failed: ${describeError(thrown)}`);
      return false;
    }
  }

  /**
   * @param bytes of the frame
   * @returns the frame for the next stage, with all rows, in `bytes` where possible; or for the head, with the wanted ones
   */
  #runStep(lease: RuntimeLease, frame: StepFrame, bytes: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> {
    const { assignment } = this.#options;
    const { runtime } = lease;
    const { hiddenSize } = runtime.options.config;
    checkStep(frame, assignment, hiddenSize);
    const { epoch, stepId, sequences, pageOperations } = frame;
    const ownMissing = this.#pages.run(runtime, pageOperations);
    const missing = ownMissing.length === 0 ? frame.missing : unionOf(frame.missing, ownMissing);
    if (sequences.length > 0) {
      runtime.hiddenStates.set(frame.hiddenStates);
      runtime.forward(sequences);
    }
    if (assignment.stageIndex === assignment.stageCount - 1) {
      const hiddenStates = gatherRows(runtime.hiddenStates, hiddenSize, sequences);
      const numPageOperations = pageOperations.length;
      return encodeFrame({ kind: 'result', epoch, stepId, hiddenSize, numPageOperations, missing, hiddenStates });
    }
    const hiddenStates = runtime.hiddenStates.subarray(0, frame.hiddenStates.length);
    if (missing === frame.missing) {
      rewriteHiddenStates(bytes, frame, hiddenStates);
      return bytes;
    }
    return encodeFrame({ kind: 'step', epoch, stepId, hiddenSize, pageOperations, missing, sequences, hiddenStates });
  }

  /** Ends an epoch by closing both links, which ends it for the whole ring. */
  #leave(epoch: number, reason: string): void {
    if (this.#wantedEpoch !== epoch) {
      return;
    }
    this.#wantedEpoch = null;
    this.#lastClose = reason;
    this.#inbound.closeOthers(null, reason);
    this.#deactivate(reason);
  }

  #deactivate(reason: string): void {
    const active = this.#active;
    if (active === null) {
      return;
    }
    this.#active = null;
    this.#pages.flush();
    active.idleTimer?.cancel();
    active.outbound.close(reason);
    this.#options.host.release(this.#options.owner);
  }

  /** One timer that is wound again for the rest of the time, instead of one for each frame. */
  #watchIdle(active: ActiveEpoch, delayMs: number): void {
    active.idleTimer = this.#options.clock.startTimer(delayMs, () => {
      const idleMs = this.#options.clock.nowMs() - active.lastFrameMs;
      if (idleMs >= this.#timings.stageIdleCloseMs) {
        this.#leave(active.epoch, `no frame for ${idleMs} ms`);
      } else {
        this.#watchIdle(active, this.#timings.stageIdleCloseMs - idleMs);
      }
    });
  }
}

/** In what a stage differs from what the head takes it for. */
function findMismatch(assignment: StageAssignment, request: OpenStageRequest): StageFailure | null {
  const { stageIndex } = assignment;
  const describe = (name: string, own: string | number, heads: string | number): string =>
    `stage ${stageIndex} has ${name} ${own}, the head says ${heads}`;
  if (stageIndex !== request.stageIndex) {
    const message = `${describe('stageIndex', stageIndex, request.stageIndex)}: deploy it with the bindings of its plan`;
    return { code: 'wrong_assignment', retryable: false, message };
  }
  const own = { ...assignment, protocolVersion: FRAME_VERSION, kvFormatVersion: KV_FORMAT_VERSION };
  for (const name of AGREED_FIELDS) {
    if (own[name] !== request[name]) {
      const message = `${describe(name, own[name], request[name])}: all stages are deployed from one plan and one version`;
      return { code: 'version_skew', retryable: true, message };
    }
  }
  return null;
}

/** Bounds that only the stage knows; `decodeFrame` has checked that the frame is consistent in itself. */
function checkStep(frame: StepFrame, assignment: StageAssignment, hiddenSize: number): void {
  if (frame.hiddenSize !== hiddenSize) {
    throw badStep(frame, `hiddenSize ${frame.hiddenSize}, the model has ${hiddenSize}`);
  }
  if (frame.hiddenStates.length > assignment.numTokensMax * hiddenSize) {
    throw badStep(frame, `more than ${assignment.numTokensMax} tokens`);
  }
  const { numPages } = assignment;
  for (const { startPosition, numTokens, pageTable } of frame.sequences) {
    if (startPosition + numTokens > assignment.contextLengthMax) {
      throw badStep(frame, `a sequence is longer than ${assignment.contextLengthMax} tokens`);
    }
    for (let i = 0; i < pageTable.length; i++) {
      if ((pageTable[i] as number) >= numPages) {
        throw badStep(frame, `page ${pageTable[i]} of ${numPages}`);
      }
    }
  }
  for (const operation of frame.pageOperations) {
    const page = Math.max(operation.page, operation.kind === 'copy' ? operation.sourcePage : 0);
    if (page >= numPages) {
      throw badStep(frame, `page ${page} of ${numPages}`);
    }
  }
}

function badStep({ stepId }: StepFrame, message: string): FrameError {
  return new FrameError('bad_field', `step ${stepId}: ${message}`);
}
