/** What the head asks of the stages when a ring opens, and what their answers say. */
import { KV_FORMAT_VERSION } from '../../wasm/host/kv-format.ts';
import type { StageAssignment } from '../model/assignment.ts';
import { describeError, type Result } from '../result.ts';
import { FRAME_VERSION } from './frame.ts';
import type { OpenStageRequest, OpenStageResult, StageFailure, StageOpened } from './ring-protocol.ts';

/** @param assignment of the head: the other stages must agree with it */
export function openRequest(assignment: StageAssignment, stageIndex: number, epoch: number): OpenStageRequest {
  const { stageCount, manifestSha256, numPages, numTokensMax, contextLengthMax } = assignment;
  const versions = { protocolVersion: FRAME_VERSION, kvFormatVersion: KV_FORMAT_VERSION };
  return { epoch, ...versions, stageIndex, stageCount, manifestSha256, numPages, numTokensMax, contextLengthMax };
}

export function unreachable(stageIndex: number, reason: unknown): StageFailure {
  const message = `stage ${stageIndex} cannot be reached: ${describeError(reason)}`;
  return { code: 'link', retryable: true, message };
}

/** The one failure that says most about why a ring did not open; null when there is none. */
export function firstFailure(results: readonly Result<unknown, StageFailure>[]): StageFailure | null {
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

/** Whether the layers of stages that have opened follow each other. */
export function judgeLayers(headLayerEnd: number, opened: readonly OpenStageResult[]): StageFailure | null {
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
