/** What a head shard has done since it woke. Only ever counted up; `EngineStats` shows it. */
export interface EngineCounters {
  numStepsTotal: number;
  numPromptTokensTotal: number;
  numGeneratedTokensTotal: number;
  numDraftTokensTotal: number;
  numAcceptedDraftTokensTotal: number;
  numCachedTokensTotal: number;
  numCopiedPagesTotal: number;
  numSavedPagesTotal: number;
  numRestoredPagesTotal: number;
  numMissingPagesTotal: number;
}

export function zeroCounters(): EngineCounters {
  return {
    numStepsTotal: 0,
    numPromptTokensTotal: 0,
    numGeneratedTokensTotal: 0,
    numDraftTokensTotal: 0,
    numAcceptedDraftTokensTotal: 0,
    numCachedTokensTotal: 0,
    numCopiedPagesTotal: 0,
    numSavedPagesTotal: 0,
    numRestoredPagesTotal: 0,
    numMissingPagesTotal: 0,
  };
}
