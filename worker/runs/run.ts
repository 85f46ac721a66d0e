/** A run: a generation that an object drives and keeps, whether or not a client listens. What gateway and object say to each other. */
import type { ApiErrorDetails } from '../api/openai/errors.ts';
import type { GenerationSurface, Serving } from '../api/openai/generation-run.ts';

/** `queued` until its first chunk; the last three are final. OpenAI's words. */
export type RunStatus = 'queued' | 'in_progress' | 'completed' | 'failed' | 'cancelled';

export const isEnded = (status: RunStatus): boolean => status !== 'queued' && status !== 'in_progress';

/** Everything that the answer depends on, so that it can be made again. */
export interface RunRequest {
  /** Id of the answer, which is that of the run: `chatcmpl-…`. */
  readonly id: string;
  readonly surface: GenerationSurface['name'];
  readonly tenant: string;
  /** JSON of the body as the client sent it, without `background`. */
  readonly body: string;
  readonly isBackground: boolean;
  /** Of the `Idempotency-Key`; null without one. */
  readonly keyDigest: string | null;
  /** Of surface and body: the same key must come with the same. */
  readonly bodyDigest: string;
  /** Milliseconds since the epoch. */
  readonly createdMs: number;
  /** For requests that give none. */
  readonly seed: number;
  /** The HTTP request's id, for the record. */
  readonly requestId: string;
}

export interface RunUsage {
  readonly promptTokens: number;
  readonly completionTokens: number;
  readonly cachedTokens: number;
  readonly reasoningTokens: number;
}

/** What is known of a run beside its chunks. */
export interface RunSnapshot {
  readonly id: string;
  readonly status: RunStatus;
  readonly isBackground: boolean;
  readonly createdMs: number;
  /** When it is removed; null while it runs. */
  readonly expiresMs: number | null;
  /** Chunks so far: they have the numbers below it. The error of a run that failed has this number. */
  readonly numChunks: number;
  /** Who serves it; null before the first chunk. */
  readonly serving: Serving | null;
  readonly usage: RunUsage | null;
  readonly error: ApiErrorDetails | null;
}

export type OpenRunResult =
  | { readonly ok: true; readonly snapshot: RunSnapshot }
  /** The key belongs to a run of another body. */
  | { readonly ok: false; readonly reason: 'key_reused' }
  | { readonly ok: false; readonly reason: 'too_many_runs' }
  /** Nobody serves such a request; nothing is kept of it. */
  | { readonly ok: false; readonly reason: 'refused'; readonly error: ApiErrorDetails };

export type ReadRunResult =
  /** Lines of JSON, each a `RunLine`. */
  | { readonly ok: true; readonly stream: ReadableStream<Uint8Array> }
  | { readonly ok: false; readonly reason: 'not_found' | 'too_many_readers' }
  | { readonly ok: false; readonly reason: 'beyond_end'; readonly snapshot: RunSnapshot };

export interface ReadRunRequest {
  readonly id: string;
  /** Number of the last chunk that the reader has; -1 for none. */
  readonly after: number;
  /** Whether to wait for what is not there yet. */
  readonly isFollowing: boolean;
}

/** `data` is that of one server-sent event. The last line of a stream is `end`; one that stops before it has broken off. */
export type RunLine =
  | { readonly type: 'serving'; readonly serving: Serving }
  | { readonly type: 'chunk'; readonly number: number; readonly data: string }
  | { readonly type: 'end'; readonly snapshot: RunSnapshot };

/** One object with runs of one tenant, as the gateway sees it. */
export interface RunShardClient {
  /** Starts a run, or finds the one that has the key. Resolves when it is known whether somebody serves it. */
  open(request: RunRequest): Promise<OpenRunResult>;
  read(request: ReadRunRequest): Promise<ReadRunResult>;
  /** Ends a run that is not over. @returns what it is then; null when there is none. */
  cancel(id: string): Promise<RunSnapshot | null>;
  /** @returns whether there was one. */
  remove(id: string): Promise<boolean>;
  /** Ends and removes all. @returns how many there were. */
  forget(): Promise<number>;
}
