import { PAGE_OPERATIONS_MAX } from '../link/page-operation.ts';
import type { WaitingQueueLimits } from './waiting-queue.ts';

/** Bounds of a head shard's engine, with their reasons. Sizes that follow from memory come with the assignment. */
export interface EngineLimits extends WaitingQueueLimits {
  /**
   * Sequences that take part in steps. A batch of 4 to 8 costs little more than one sequence; beyond some tens each
   * stream is too slow to be worth having.
   */
  readonly sequencesRunningMax: number;
  /**
   * Steps on their way round the ring at a time, whatever the assignment says. One for each stage keeps all of them
   * busy; each more costs every stage a frame of memory and every stream a smaller batch.
   */
  readonly stepsInFlightMax: number;
  /**
   * Drafts fill a step up to this many tokens; 1 turns speculation off. Where arithmetic is all, four tokens are the best
   * (`step-cost.ts`); where a step waits for memory or for hops, eight are. More were no better with any of the costs
   * that were measured.
   */
  readonly draftStepTokensMax: number;
  /**
   * Page operations of one step, at most what a frame takes. Each costs every stage a copy of some tens of kilobytes; a
   * step has room for one of each running sequence, and for the pages that the tokens of a large step before it have filled.
   */
  readonly pageOperationsStepMax: number;
  /** Restores among them: each waits for a read of some tens of kilobytes, and the tokens of everybody else with it. */
  readonly pageRestoresStepMax: number;
  /** Bytes of events that a reader has not taken. Some hundred tokens: then the sequence pauses. */
  readonly eventBytesMax: number;
  /** A reader that takes nothing for so long is gone, noticed or not, and its pages are wanted. */
  readonly readerStallMs: number;
  /**
   * Sequences that lost their pages while their readers stalled, and wait for them: as many as one replica runs. Each has
   * its tokens and up to `eventBytesMax` of events.
   */
  readonly stalledWaitingMax: number;
  /** Rings that may break under one sequence before its client is told. */
  readonly ringFailuresMax: number;
  /**
   * How long a ring whose stages have different versions is opened again and again: about as long as a deployment takes from
   * its first script to its last. Then its sequences end with an error that sends them to another replica.
   */
  readonly versionSkewMsMax: number;
  /** Wait before the second opening in a row; doubled for each further one. */
  readonly reopenDelayMs: number;
  /** Longest such wait: a client that is still there after it is better told. */
  readonly reopenDelayMsMax: number;
}

export const ENGINE_LIMITS: EngineLimits = {
  sequencesRunningMax: 32,
  stepsInFlightMax: 8,
  draftStepTokensMax: 8,
  sequencesWaitingMax: 64,
  tenantWaitingMax: 32,
  resumedWaitingMax: 32,
  pageOperationsStepMax: PAGE_OPERATIONS_MAX,
  pageRestoresStepMax: 32,
  eventBytesMax: 32 * 1024,
  readerStallMs: 60_000,
  stalledWaitingMax: 32,
  ringFailuresMax: 3,
  versionSkewMsMax: 30_000,
  reopenDelayMs: 250,
  reopenDelayMsMax: 4_000,
};

/** Bounds of one request. The gateway has checked the same against the wire; a shard trusts nobody. */
export interface RequestLimits {
  /** OpenAI's limit for `top_logprobs`. */
  readonly topLogprobsMax: number;
  /** OpenAI's map of biases holds at most 300 entries in practice; each costs a step of every token. */
  readonly logitBiasMax: number;
  /** End-of-turn tokens of a model are a handful. */
  readonly stopTokenIdsMax: number;
  /** How long a prefix may be pinned at a time: whoever still wants it after a month asks again. */
  readonly prefixTtlMsMax: number;
}

export const REQUEST_LIMITS: RequestLimits = {
  topLogprobsMax: 20,
  logitBiasMax: 1024,
  stopTokenIdsMax: 64,
  prefixTtlMsMax: 30 * 24 * 60 * 60_000,
};
