/** Fills what a step has left with draft tokens of the sequences that decode. */
import { PAGE_SIZE_TOKENS } from '../../wasm/host/stage-runtime.ts';
import { Drafter, type Draft } from './draft.ts';
import type { ScheduledSequence } from './scheduler.ts';
import type { Sequence } from './sequence.ts';

/** What a step of so many tokens costs, in any unit. */
export type CostOfStep = (numTokens: number) => number;

export interface DraftLimits {
  /** Drafts fill a step up to this many tokens; 1 turns speculation off. */
  readonly draftStepTokensMax: number;
  /** Positions that a sequence may fill. */
  readonly sequenceTokensMax: number;
}

/**
 * What is left is shared evenly, so that no stream is slowed by drafts of others alone.
 * @param scheduled what the step computes anyway, sequence by sequence.
 * @returns the same with drafts. Their pages are covered, as far as that takes none from anybody.
 */
export function addDrafts(
  scheduled: readonly ScheduledSequence[],
  limits: DraftLimits,
  costOfStep: CostOfStep,
): readonly ScheduledSequence[] {
  let numTokens = scheduled.reduce((sum, part) => sum + part.numTokens, 0);
  if (numTokens >= limits.draftStepTokensMax) {
    return scheduled;
  }
  return scheduled.map((part, i) => {
    const share = Math.floor((limits.draftStepTokensMax - numTokens) / (scheduled.length - i));
    const draft = isDecoding(part) ? proposeDraft(part.sequence, share, numTokens, limits, costOfStep) : null;
    if (draft === null) {
      return part;
    }
    numTokens += draft.tokens.length;
    return { ...part, numTokens: part.numTokens + draft.tokens.length, draft };
  });
}

function isDecoding({ sequence, startPosition, numTokens }: ScheduledSequence): boolean {
  return numTokens === 1 && startPosition === sequence.tokens.length - 1 && sequence.numOutputTokens > 0;
}

function proposeDraft(
  sequence: Sequence,
  share: number,
  numTokens: number,
  limits: DraftLimits,
  costOfStep: CostOfStep,
): Draft | null {
  const length = sequence.tokens.length;
  const numDraftTokensMax = Math.min(
    share,
    limits.sequenceTokensMax - length,
    // The token after the last draft token is chosen too.
    sequence.request.maxTokens - sequence.numOutputTokens - 1,
  );
  sequence.drafter ??= new Drafter(costOfStep);
  const draft = sequence.drafter.propose(sequence.tokens, numDraftTokensMax, numTokens);
  if (draft === null || sequence.pageTable.cover(length + draft.tokens.length)) {
    return draft;
  }
  const numCovered = sequence.pageTable.pages.length * PAGE_SIZE_TOKENS - length;
  return numCovered === 0 ? null : { tokens: draft.tokens.slice(0, numCovered) };
}
