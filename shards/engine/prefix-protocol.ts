/** Prefixes that are computed before anybody asks with them, and the end of everything that is kept of a tenant. */
import type { Result } from '../result.ts';
import type { EngineErrorCode } from './protocol.ts';

/** A beginning that prompts of one tenant have in common. Whole pages of it are shared. */
export interface PromptPrefix {
  readonly tokens: readonly number[];
  /** That of the requests: see `GenerateRequest`. */
  readonly cacheSalt: string;
}

export interface WarmPrefixRequest extends PromptPrefix {
  readonly requestId: string;
  /** How long its pages are kept, whatever else wants their place. */
  readonly ttlMs: number;
}

export interface WarmedPrefix {
  readonly numTokens: number;
  /** Tokens that were computed before. */
  readonly cachedTokens: number;
  /** Pages that are pinned: the whole ones. */
  readonly numPages: number;
  /** Milliseconds since the epoch. */
  readonly expiresAtMs: number;
}

export interface PrefixFailure {
  readonly code: EngineErrorCode;
  readonly message: string;
  readonly retryable: boolean;
  /** With `queue_full`: when there should be room again. */
  readonly retryAfterMs?: number;
}

/** What a head shard offers beside generating. */
export interface PrefixClient {
  /** Computes what is not there of the prefix and pins its pages on every stage. Again: pins them for longer. */
  warmPrefix(request: WarmPrefixRequest): Promise<Result<WarmedPrefix, PrefixFailure>>;
  /** Lets go of the pages: they stay until their place is wanted. */
  unpinPrefix(prefix: PromptPrefix): Promise<Result<null, PrefixFailure>>;
  /**
   * Leaves no page of a tenant on any stage, in memory or stored, once what runs of it cannot write any more. To be
   * repeated when it fails with `retryable`: a stage did not answer, or the ring broke under a step that may have saved.
   */
  deleteTenant(cacheSalt: string): Promise<Result<null, PrefixFailure>>;
}

/** For planned restarts. */
export interface DrainClient {
  /** Refuses new requests with `draining` from now on. What runs and waits is finished: `stats` tells when. */
  drain(): Promise<void>;
  /** Takes requests again. */
  resume(): Promise<void>;
}
