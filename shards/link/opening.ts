/** Opens a ring: every stage loads, and links itself to the next one under a new epoch. */
import { KV_FORMAT_VERSION } from '../../wasm/host/kv-format.ts';
import type { StageAssignment } from '../model/assignment.ts';
import type { RuntimeHost, RuntimeLease } from '../model/runtime-host.ts';
import type { AssetSource } from '../platform/assets.ts';
import type { Clock } from '../platform/clock.ts';
import type { FrameLink, LinkConnector } from '../platform/link.ts';
import { describeError, err, ok, type Result } from '../result.ts';
import { FRAME_VERSION } from './frame.ts';
import { connectToNext } from './handshake.ts';
import type {
  OpenStageRequest,
  OpenStageResult,
  RingTimings,
  StageControl,
  StageFailure,
  StageOpened,
} from './ring-protocol.ts';

/** What a ring is opened with, by its head. */
export interface RingParts {
  readonly assignment: StageAssignment;
  /** Names this object among those that share the isolate. */
  readonly owner: string;
  readonly host: RuntimeHost;
  readonly assets: AssetSource;
  /** Stages 1, 2, … in order; none for a ring of one. */
  readonly stages: readonly StageControl[];
  /** Not called for a ring of one. */
  readonly connectNext: LinkConnector;
  readonly clock: Clock;
}

/** The epoch that is opened, as far as the head knows of it while it opens. */
export interface OpeningEpoch {
  readonly epoch: number;
  /** The epoch that the head wants now: it may have been closed, or another one begun. Null for none. */
  readonly wantedEpoch: () => number | null;
  /** Whether the last stage is linked to the head under this epoch. */
  readonly isLinked: () => boolean;
  /** The link to stage 1 has closed, now or at any time later. */
  readonly onClose: (reason: string) => void;
}

export interface OpenedRing {
  readonly lease: RuntimeLease;
  /** Null in a ring of one. */
  readonly outbound: FrameLink | null;
  /** By stage. */
  readonly kvGenerations: readonly number[];
}

/** Nothing is kept of an opening that fails. */
export async function openRing(
  parts: RingParts,
  opening: OpeningEpoch,
  { helloDeadlineMs }: Pick<RingTimings, 'helloDeadlineMs'>,
): Promise<Result<OpenedRing, StageFailure>> {
  const { assignment, host, owner, assets, connectNext, clock, stages } = parts;
  const { epoch, onClose } = opening;
  const [acquired, connected, ...opened] = await Promise.all([
    host.acquire(owner, assets),
    assignment.stageCount === 1
      ? ok(null)
      : connectToNext({ connect: connectNext, identity: assignment, epoch, clock, helloDeadlineMs, onClose }),
    ...stages.map((stage, i) => openStage(stage, openRequest(assignment, i + 1, epoch))),
  ]);
  const failure = firstFailure([acquired, connected, ...opened]) ?? judgeOpening(assignment, opening, opened);
  if (failure !== null || !acquired.ok || !connected.ok) {
    if (connected.ok) {
      connected.value?.close('the epoch did not open');
    }
    if (opening.wantedEpoch() === null) {
      // The opening outlived its deadline and may have taken the lease after it was given back.
      host.release(owner);
    }
    return err(failure as StageFailure);
  }
  const kvGenerations = [
    acquired.value.kvGeneration,
    ...opened.map((result) => (result.ok ? result.value.kvGeneration : 0)),
  ];
  return ok({ lease: acquired.value, outbound: connected.value, kvGenerations });
}

async function openStage(stage: StageControl, request: OpenStageRequest): Promise<OpenStageResult> {
  try {
    return await stage.openStage(request);
  } catch (thrown) {
    return err(unreachable(request.stageIndex, thrown));
  }
}

/** @param assignment of the head: the other stages must agree with it */
function openRequest(assignment: StageAssignment, stageIndex: number, epoch: number): OpenStageRequest {
  const { stageCount, manifestSha256, numPages, numTokensMax, contextLengthMax } = assignment;
  const versions = { protocolVersion: FRAME_VERSION, kvFormatVersion: KV_FORMAT_VERSION };
  return { epoch, ...versions, stageIndex, stageCount, manifestSha256, numPages, numTokensMax, contextLengthMax };
}

function unreachable(stageIndex: number, reason: unknown): StageFailure {
  const message = `stage ${stageIndex} cannot be reached: ${describeError(reason)}`;
  return { code: 'link', retryable: true, message };
}

/** The one failure that says most about why a ring did not open; null when there is none. */
function firstFailure(results: readonly Result<unknown, StageFailure>[]): StageFailure | null {
  let first: StageFailure | null = null;
  for (const result of results) {
    if (!result.ok && (first === null || rank(result.error) > rank(first))) {
      first = result.error;
    }
  }
  return first;
}

/** What will not go away by itself, or not soon, says more than the broken links that it causes. */
function rank({ code, retryable }: StageFailure): number {
  return retryable ? Number(code === 'version_skew') : 2;
}

/** What can still be wrong when every stage has answered: links lost meanwhile, or layers that do not add up. */
function judgeOpening(
  { stageCount, layerEnd }: StageAssignment,
  { epoch, wantedEpoch, isLinked }: OpeningEpoch,
  opened: readonly OpenStageResult[],
): StageFailure | null {
  if (wantedEpoch() !== epoch) {
    return { code: 'superseded', retryable: true, message: `epoch ${epoch} was closed while it opened` };
  }
  if (stageCount > 1 && !isLinked()) {
    return { code: 'link', retryable: true, message: 'the last stage is not linked to the head' };
  }
  return judgeLayers(layerEnd, opened);
}

/** Whether the layers of stages that have opened follow each other. */
function judgeLayers(headLayerEnd: number, opened: readonly OpenStageResult[]): StageFailure | null {
  let layerEnd = headLayerEnd;
  for (const [i, result] of opened.entries()) {
    const range = (result as { readonly value: StageOpened }).value;
    if (range.layerStart !== layerEnd) {
      const message = `stage ${i + 1} starts at layer ${range.layerStart}, the stage before ends at ${layerEnd}`;
      return { code: 'version_skew', retryable: true, message };
    }
    layerEnd = range.layerEnd;
  }
  return null;
}
