import type { RingStep } from '../link/ring-step.ts';
import { DraftVerification } from '../sampling/verify-draft.ts';
import { toPageOperation, type PendingOperation } from './page-operation-queue.ts';
import type { ScheduledSequence } from './scheduler.ts';
import type { Sequence } from './sequence.ts';

/** A row that comes back from a step: the hidden state of one token, whose logits predict the token after it. */
export interface ResultRow {
  readonly sequence: Sequence;
  /** Of the token whose hidden state it is. */
  readonly position: number;
  /** The sequence's when the step was scheduled: see `isCurrent`. */
  readonly numRewinds: number;
  /** Shared by the rows of a draft, from the last token that was known on; null for a sequence without one. */
  readonly verification: DraftVerification | null;
}

export interface MicroBatch {
  readonly scheduled: readonly ScheduledSequence[];
  /** As in the step. */
  readonly operations: readonly PendingOperation[];
  readonly step: RingStep;
  /** One for each row that the step returns, in the same order. */
  readonly resultRows: readonly ResultRow[];
}

/** Turns the scheduler's choice, and the page operations that come before it, into what crosses the ring. */
export function buildMicroBatch(
  scheduled: readonly ScheduledSequence[],
  operations: readonly PendingOperation[],
): MicroBatch {
  const tokenIds: number[] = [];
  const resultRows: ResultRow[] = [];
  const sequences = scheduled.map(({ sequence, startPosition, numTokens, numRewinds, draft }) => {
    const rows: number[] = [];
    const numKnown = sequence.tokens.length;
    const verification = draft === null ? null : new DraftVerification(draft, numKnown - 1);
    for (let row = 0; row < numTokens; row++) {
      const position = startPosition + row;
      tokenIds.push((position < numKnown ? sequence.tokens[position] : draft?.tokens[position - numKnown]) as number);
      if (isLogitsWanted(sequence, position)) {
        rows.push(row);
        resultRows.push({ sequence, position, numRewinds, verification });
      }
    }
    const pageTable = sequence.pageTable.pages.slice();
    return { sequenceId: sequence.id, startPosition, numTokens, pageTable, resultRows: rows };
  });
  const pageOperations = operations.map(toPageOperation);
  return { scheduled, operations, step: { pageOperations, sequences, tokenIds }, resultRows };
}

/**
 * A prompt position whose log-probability is missing, or the last token and any draft after it when another one is to be
 * chosen.
 */
function isLogitsWanted(sequence: Sequence, position: number): boolean {
  const isLastToken = position >= sequence.tokens.length - 1;
  if (isLastToken && sequence.wantsNextToken) {
    return true;
  }
  const isPromptRow = position < sequence.numPromptTokens - 1;
  return isPromptRow && sequence.wantsPromptLogprobs && position >= sequence.promptLogprobPosition;
}
