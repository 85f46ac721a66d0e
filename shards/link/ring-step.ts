/** What the engine gives the ring to do, and what it gets back. */
import { assert } from '../../wasm/host/assert.ts';
import type { FrameSequence, ResultFrame } from './frame.ts';
import type { PageOperation } from './page-operation.ts';

/** Page operations, then a micro-batch; either may be empty, not both. */
export interface RingStep {
  /** At most `PAGE_OPERATIONS_MAX`. */
  readonly pageOperations: readonly PageOperation[];
  readonly sequences: readonly FrameSequence[];
  /** Of all sequences, one after the other. */
  readonly tokenIds: readonly number[];
}

/** A step that went round. */
export interface StepResult {
  /** The wanted rows after the last layer, `[sum of resultRows, hiddenSize]`. */
  readonly rows: Float32Array<ArrayBuffer>;
  /**
   * Indices into `pageOperations` of the restores whose page some stage does not have, ascending. The pages hold anything,
   * and so does whatever was computed from them.
   */
  readonly missing: readonly number[];
}

/** Whether a result answers its step. @throws AssertionError when it does not */
export function checkResult(frame: ResultFrame, step: RingStep, hiddenSize: number): void {
  const numRows = step.sequences.reduce((sum, sequence) => sum + sequence.resultRows.length, 0);
  const isWhole = frame.hiddenStates.length === numRows * hiddenSize;
  assert(isWhole, `step ${frame.stepId} came back with another number of rows`);
  const { pageOperations } = step;
  const isAnswer =
    frame.numPageOperations === pageOperations.length &&
    frame.missing.every((index) => pageOperations[index]?.kind === 'restore');
  assert(isAnswer, `step ${frame.stepId} came back with other page operations`);
}
