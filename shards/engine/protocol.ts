/**
 * What the gateway asks of a head shard and what comes back. Plain structured-clone data: it crosses an RPC boundary.
 * The gateway speaks text, the head shard speaks token ids.
 */

/** How the next token is chosen. Every field is set: defaults belong to the wire formats, not to the engine. */
export interface SamplingParams {
  /** 0 is greedy. */
  readonly temperature: number;
  /** Keep the k most likely tokens; 0 keeps all. */
  readonly topK: number;
  /** Nucleus: keep the smallest set whose probability reaches this; 1 keeps all. */
  readonly topP: number;
  /** Drop tokens less likely than `minP` times the most likely one; 0 drops none. */
  readonly minP: number;
  /** Divides positive and multiplies negative logits of tokens seen in prompt or output (CTRL); 1 is off. */
  readonly repetitionPenalty: number;
  /** Subtracted once from the logit of a token that the output contains (OpenAI); 0 is off. */
  readonly presencePenalty: number;
  /** Subtracted once per occurrence in the output (OpenAI); 0 is off. */
  readonly frequencyPenalty: number;
  /** Added to logits before everything else. */
  readonly logitBias: readonly (readonly [tokenId: number, bias: number])[];
  /** With a position it decides the random number of that position: a resumed stream samples the same tokens. */
  readonly seed: number;
}

export interface GenerateRequest {
  readonly requestId: string;
  readonly promptTokens: readonly number[];
  /** Tokens already sent to the client by an earlier run of this request; they are prefilled, not sent again. */
  readonly emittedTokens: readonly number[];
  /** Most tokens to generate, `emittedTokens` included. 0 only computes the prompt. */
  readonly maxTokens: number;
  readonly sampling: SamplingParams;
  /** Generation ends when one of these is sampled; the token itself is not emitted. */
  readonly stopTokenIds: readonly number[];
  /** Alternatives to report with each generated token, 0 for the chosen token only, null for no log-probabilities. */
  readonly numTopLogprobs: number | null;
  /** The same for each prompt token after the first. */
  readonly numPromptLogprobs: number | null;
  /**
   * Index of the first prompt token whose log-probability is wanted; 1, the first that has one, by default. What comes before
   * it may be taken from the prefix cache, so that many continuations of one text cost little more than themselves.
   */
  readonly promptLogprobsStart?: number;
  /** Pages are shared only between requests with an equal salt: one salt per tenant. */
  readonly cacheSalt: string;
}

/** Natural logarithm of the probability under the unmodified distribution (before temperature and penalties). */
export interface TokenLogprob {
  readonly tokenId: number;
  readonly logprob: number;
  /** Most likely first. */
  readonly top: readonly (readonly [tokenId: number, logprob: number])[];
}

export type FinishReason = 'stop' | 'length';

/** Codes are stable; messages are for people. `retryable`: the same request may succeed on a reborn ring. */
export type EngineErrorCode =
  'prompt_too_long' | 'invalid_request' | 'queue_full' | 'draining' | 'ring_failed' | 'not_ready' | 'internal';

/** Sequences that a head shard has taken, for placement. */
export interface EngineLoad {
  readonly numRunning: number;
  readonly numWaiting: number;
}

export type GenerateEvent =
  /** First of every stream that is not refused, before anything is computed; `load` includes this request. */
  | { readonly type: 'accepted'; readonly load: EngineLoad; readonly nextWithinMs: number }
  /**
   * In the place of other events while there are none. A head that is heard of neither by these nor by others within
   * `nextWithinMs` of the last time it said that is gone.
   */
  | { readonly type: 'alive'; readonly nextWithinMs: number }
  | { readonly type: 'prompt'; readonly logprobs: readonly TokenLogprob[] }
  | { readonly type: 'token'; readonly tokenId: number; readonly logprob: TokenLogprob | null }
  | {
      readonly type: 'finish';
      readonly reason: FinishReason;
      readonly promptTokens: number;
      readonly completionTokens: number;
      readonly cachedTokens: number;
    }
  | {
      readonly type: 'error';
      readonly code: EngineErrorCode;
      readonly message: string;
      readonly retryable: boolean;
      /** With `queue_full`: when there should be room again. */
      readonly retryAfterMs?: number;
    };

/** Counters of a head shard, for health checks, tests and placement. */
export interface EngineStats {
  readonly model: string;
  readonly stageCount: number;
  readonly ringOpen: boolean;
  /** Whether it finishes what it has and takes nothing new. */
  readonly isDraining: boolean;
  readonly numWaiting: number;
  readonly numRunning: number;
  /** Sequences that lost their pages to others, and go on later. */
  readonly numPreemptionsTotal: number;
  readonly numPages: number;
  /** Pages that no sequence has; the cached ones among them hold a prefix that may be wanted again. */
  readonly numFreePages: number;
  readonly numCachedPages: number;
  readonly pageSizeTokens: number;
  readonly numStepsTotal: number;
  readonly numPromptTokensTotal: number;
  readonly numGeneratedTokensTotal: number;
  /** Tokens that were guessed and computed beside a sequence's own, and how many of them the model chose too. */
  readonly numDraftTokensTotal: number;
  readonly numAcceptedDraftTokensTotal: number;
  /** Prompt tokens that requests found computed when they were admitted. */
  readonly numCachedTokensTotal: number;
  /** Pages that were copied to go on from their middle, saved by all stages, and asked back from them. */
  readonly numCopiedPagesTotal: number;
  readonly numSavedPagesTotal: number;
  readonly numRestoredPagesTotal: number;
  /** Pages that the head had stored and another stage had not. */
  readonly numMissingPagesTotal: number;
}

/** The head shard as the gateway sees it: a Durable Object stub when deployed, the engine itself in a test. */
export interface HeadClient {
  /**
   * Starts a generation. The stream is newline-delimited JSON, one `GenerateEvent` a line, and ends after `finish` or
   * `error`. Cancelling the stream stops the sequence and frees its pages.
   */
  generate(request: GenerateRequest): Promise<ReadableStream<Uint8Array>>;
  stats(): Promise<EngineStats>;
}
