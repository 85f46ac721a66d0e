/**
 * What the rest of the gateway sees of the GPU origins: one backend that takes a request in OpenAI's wire terms and gives
 * its answer back, whichever origin serves it. Types and their error; `origin-pool.ts` is the implementation.
 */
import type { Capability } from '../routing/capabilities.ts';

/** `chat` and `completion` are streamed, always: see `OriginBackend.stream`. The others are one call, one body. */
export type StreamedOperation = 'chat' | 'completion';
export type CalledOperation = 'embeddings' | 'rerank' | 'image';
export type OriginOperation = StreamedOperation | CalledOperation;

/** Who is served first when requests wait. */
export type Priority = 'high' | 'normal' | 'low';

export interface OriginRequest<Operation extends OriginOperation = OriginOperation> {
  /** Goes to the origin as `X-Request-Id`. */
  readonly requestId: string;
  /** Origins that can share a prefix cache are told to share it within one tenant only. */
  readonly tenant: string;
  readonly operation: Operation;
  /** Public id, as the catalogue has it. */
  readonly model: string;
  /** What an origin must be capable of to get the request. */
  readonly needs: ReadonlySet<Capability>;
  /** Body in OpenAI's terms without `model`, `stream` and `stream_options`, which the pool sets for each origin. */
  readonly body: Readonly<Record<string, unknown>>;
  /** Requests with the same key go to the same origin while its load allows, for its prefix cache. */
  readonly affinityKey: string | null;
  readonly priority: Priority;
  readonly promptTokensEstimate: number;
  readonly deadlines?: Partial<OriginDeadlines>;
}

/** Milliseconds. What remains of the total goes to the origin as `X-Request-Timeout-Ms`. */
export interface OriginDeadlines {
  /** From the call to the head of the answer, of engines that send it before they have content: vLLM and SGLang. */
  readonly connectMs: number;
  /** From the call to the first content; of a call that is not streamed, to its answer. */
  readonly firstTokenMs: number;
  /** Between two pieces of content. */
  readonly betweenTokensMs: number;
  /** From the request to its end, waiting and further attempts included. */
  readonly totalMs: number;
}

/** Who served a request. */
export interface ServedBy {
  readonly originId: string;
  /** Name of the model at the origin. */
  readonly upstreamModel: string;
  /** Calls to origins that it took, the last included. */
  readonly attempts: number;
}

/** As the origin counted, in OpenAI's names. */
export interface OriginUsage {
  readonly promptTokens: number;
  readonly completionTokens: number;
  readonly cachedTokens: number;
  readonly reasoningTokens: number;
}

/** An object of the upstream's stream, `chat.completion.chunk` or `text_completion`, without `usage`. */
export type OriginChunk = Readonly<Record<string, unknown>> & { readonly choices: readonly OriginChoice[] };
export type OriginChoice = Readonly<Record<string, unknown>>;

export type OriginEvent =
  /** Once, before the first chunk: from here on nothing is tried again. */
  | ({ readonly type: 'served_by' } & ServedBy)
  /** `completionTokens` is how many tokens there have been with this one: counted by the engine where it says, else one a piece. */
  | { readonly type: 'chunk'; readonly data: OriginChunk; readonly completionTokens: number }
  /** Once, last: the answer is whole. `usage` is null when the origin does not count. */
  | { readonly type: 'end'; readonly usage: OriginUsage | null };

export type OriginErrorCode =
  /** No configured origin has the model, or none of those that have it can do what is needed. */
  | 'not_configured'
  | 'capability'
  /** All that could serve it have open breakers. */
  | 'unavailable'
  /** All that could serve it are full, and so are their queues; or it waited too long in one. */
  | 'overloaded'
  /** The origin refused the request as the client's mistake: `status` and `message` are the origin's. */
  | 'rejected'
  /** The origin refused our credentials or does not know the model: the configuration is wrong. */
  | 'misconfigured'
  | 'connect_failed'
  | 'timeout'
  /** A status of 5xx, or 429 from the engine. */
  | 'bad_status'
  /** 200 with an error in the body, an empty stream, or what is no answer. */
  | 'bad_response'
  /** The stream ended, failed or fell silent after content had come. */
  | 'cut';

/** A request to the origins failed. */
export class OriginError extends Error {
  override readonly name = 'OriginError';
  readonly code: OriginErrorCode;
  /** HTTP status for the client. */
  readonly status: number;
  /** Whether the same request may succeed when sent again. */
  readonly retryable: boolean;
  /** When to try again; null when nothing is known. At most 60 000. */
  readonly retryAfterMs: number | null;
  /** Calls to origins that were made. */
  readonly attempts: number;
  /** Tokens that were given out before it failed: only a `cut` has any. */
  readonly tokensSent: number;

  constructor(
    code: OriginErrorCode,
    message: string,
    details: Partial<
      Pick<OriginError, 'status' | 'retryable' | 'retryAfterMs' | 'attempts' | 'tokensSent' | 'cause'>
    > = {},
  ) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause });
    this.code = code;
    this.status = details.status ?? STATUS_OF_CODE[code];
    this.retryable = details.retryable ?? RETRYABLE_CODES.has(code);
    this.retryAfterMs = details.retryAfterMs ?? null;
    this.attempts = details.attempts ?? 0;
    this.tokensSent = details.tokensSent ?? 0;
  }
}

const STATUS_OF_CODE: Readonly<Record<OriginErrorCode, number>> = {
  not_configured: 503,
  capability: 400,
  unavailable: 503,
  overloaded: 429,
  rejected: 400,
  misconfigured: 502,
  connect_failed: 502,
  timeout: 504,
  bad_status: 502,
  bad_response: 502,
  cut: 502,
};

const RETRYABLE_CODES: ReadonlySet<OriginErrorCode> = new Set([
  'unavailable',
  'overloaded',
  'connect_failed',
  'timeout',
  'bad_status',
  'bad_response',
  'cut',
]);

/** A model that at least one origin serves. */
export interface OriginModel {
  /** Public id. */
  readonly id: string;
  /** What its origins can do, all together; one request's needs must be met by one of them: ask `canServe`. */
  readonly capabilities: ReadonlySet<Capability>;
  /** Longest of its origins, in tokens; null when one of them does not say. */
  readonly contextLength: number | null;
}

export type CanServe =
  | { readonly ok: true }
  | { readonly ok: false; readonly reason: 'not_configured' }
  /** `missing` is what no origin has, or, when all have something else missing, the first need of which that is so. */
  | { readonly ok: false; readonly reason: 'capability'; readonly missing: Capability }
  | { readonly ok: false; readonly reason: 'context_length'; readonly contextLength: number }
  /** `retryAfterMs` says when the first of them is tried again, or has room. */
  | { readonly ok: false; readonly reason: 'unavailable' | 'overloaded'; readonly retryAfterMs: number };

/** For `/healthz` and metrics; nothing secret in it. */
export interface OriginHealth {
  readonly id: string;
  readonly models: readonly string[];
  readonly breaker: 'closed' | 'open' | 'half_open';
  /** Result of the last probe; null before the first. */
  readonly probe: 'ok' | 'failing' | null;
  /** Why the breaker is open or the probe failed, for an operator. */
  readonly detail: string | null;
  readonly inFlight: number;
  readonly waiting: number;
  /** As the engine's own metrics have it; null when it has none. */
  readonly engine: EngineLoad | null;
  /** Mean of late times to the first token, in ms; null before the first. */
  readonly ttftMs: number | null;
  readonly requests: number;
  readonly failures: number;
  /** Of the requests, those that were made beside one to another origin that was late. */
  readonly hedges: number;
}

export interface EngineLoad {
  readonly running: number | null;
  readonly waiting: number | null;
  /** Share of the KV cache that is in use, 0 to 1. */
  readonly kvCacheUsage: number | null;
}

export interface OriginBackend {
  /** What is configured; empty without origins. */
  models(): readonly OriginModel[];
  /** Whether a request would be taken at this moment. @param numTokensAtLeast prompt and answer, as far as they are known. */
  canServe(model: string, needs: ReadonlySet<Capability>, numTokensAtLeast: number): CanServe;
  /**
   * Runs a request whose answer is streamed. The client's answer may be one body all the same: collect the chunks, and
   * write something to the client meanwhile, since only a failed write tells that it is gone.
   * Leaving the loop or aborting `signal` aborts the origin's work at once.
   * @throws OriginError when it fails, after `served_by` only as `cut`; AbortedError when `signal` was aborted.
   */
  stream(request: OriginRequest<StreamedOperation>, signal: AbortSignal): AsyncGenerator<OriginEvent, void, undefined>;
  /**
   * Runs a request whose answer is one body.
   * @throws as `stream`.
   */
  call(request: OriginRequest<CalledOperation>, signal: AbortSignal): Promise<CallResult>;
  health(): readonly OriginHealth[];
  /** Looks after the origins that have not been looked at for a while. Workers have no background: call it with `waitUntil`. */
  probe(): Promise<void>;
}

export interface CallResult {
  readonly servedBy: ServedBy;
  /** The origin's body, with `model` as the public id. */
  readonly body: Readonly<Record<string, unknown>>;
  readonly usage: OriginUsage | null;
}
