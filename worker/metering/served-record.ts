/** What was served to whom: one record per request that had a valid key. Bills, limits and charts are made from these. */
import type { Tier } from '../routing/tiers.ts';

export type ServedSurface =
  | 'chat.completions'
  | 'completions'
  | 'prefixes'
  | 'classify'
  | 'moderations'
  | 'embeddings'
  | 'rerank'
  | 'images.generations';

export interface ServedRecord {
  readonly requestId: string;
  readonly tenant: string;
  readonly surface: ServedSurface;
  /** Catalog id of the model that was asked for; null when the request was refused before one was found. */
  readonly model: string | null;
  /** Catalog id and tier of the model that served, whose price counts: another one after a fallback. */
  readonly servedModel: string | null;
  readonly tier: Tier | null;
  /** `ring/<model>` or `origins/<id of the origin>`; null when nothing has answered. */
  readonly servedBy: string | null;
  /** Calls to backends that it took. */
  readonly attempts: number;
  /** Why it was not the model that was asked for. */
  readonly fallbackReason: string | null;
  readonly isStream: boolean;
  readonly numChoices: number;
  /** Each prompt counts once, however many choices it has. */
  readonly promptTokens: number;
  /** Tokens that were generated for the client, over all choices; those sent when it was cut off. */
  readonly completionTokens: number;
  readonly cachedTokens: number;
  readonly reasoningTokens: number;
  /** Whether the prompt is an estimate: the origin was cut off before it had counted. */
  readonly isEstimated: boolean;
  /** 0 when nothing came of it. */
  readonly costCny: number;
  /** Milliseconds since the epoch. */
  readonly startedAtMs: number;
  /** From the request to the first token; null without one. */
  readonly ttftMs: number | null;
  readonly durationMs: number;
  readonly finishReasons: readonly string[];
  readonly outcome: ServedOutcome;
  /** `code` of the error that the client got. */
  readonly errorCode: string | null;
  /** Times that a generation went on after its ring had failed. */
  readonly numResumes: number;
}

/** `refused`: a mistake of the client, nothing was generated. */
export type ServedOutcome = 'completed' | 'refused' | 'failed' | 'client_gone';

/** Where records go. Must not throw and not wait: it is called while an answer ends. */
export interface MeteringSink {
  record(record: ServedRecord): void;
}
