/** What the answers of the stages say about an opening. */
import { describeError, type Result } from '../result.ts';
import type { OpenStageResult, StageFailure, StageOpened } from './ring-protocol.ts';

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
