/** When a generation that failed is started again, where, and when it is given up. */
import type { EngineErrorCode } from '../engine/protocol.ts';
import type { Replica } from './replica-set.ts';

export interface ResumeLimits {
  /**
   * Rounds in a row in which every replica was asked and none gave a token. With the delays below: the rings have some
   * 3 s to be reborn.
   */
  readonly roundsInRowMax: number;
  /** Failures in all: rings that die after every token are not worth the prefills. */
  readonly failuresTotalMax: number;
  /** Pause after the first round; doubled after each further one in a row. */
  readonly firstDelayMs: number;
  /**
   * Longest wait until a replica takes a request, before it computes anything: a cold start takes some seconds. From then
   * on the head says how long it may be silent.
   */
  readonly acceptMsMax: number;
  /**
   * Longest time without progress of a head that says that it is alive. A prompt of 8192 tokens prefills in well under a
   * minute, alone or behind others.
   */
  readonly progressMsMax: number;
}

export const DEFAULT_RESUME_LIMITS: ResumeLimits = {
  roundsInRowMax: 6,
  failuresTotalMax: 16,
  firstDelayMs: 100,
  acceptMsMax: 10_000,
  progressMsMax: 120_000,
};

/** A generation ended without a finish. `code` is the engine's, also for failures that only the gateway saw. */
export class GenerationError extends Error {
  override readonly name = 'GenerationError';
  readonly code: EngineErrorCode;
  /** When a replica that refused expects to have room, as far as it can tell. */
  readonly retryAfterMs: number | null;

  constructor(code: EngineErrorCode, message: string, retryAfterMs: number | null = null) {
    super(message);
    this.code = code;
    this.retryAfterMs = retryAfterMs;
  }
}

export interface Failure {
  readonly error: GenerationError;
  readonly isRetryable: boolean;
}

/** Codes of a replica that took nothing and computed nothing: another one may, and asking costs next to nothing. */
const REFUSALS: ReadonlySet<EngineErrorCode> = new Set(['queue_full', 'draining']);

/** Codes that any replica would answer with. */
const MISTAKES: ReadonlySet<EngineErrorCode> = new Set(['prompt_too_long', 'invalid_request']);

/** What the client has when an attempt has failed. */
export interface Reached {
  /** Whether the attempt gave it something. */
  readonly hasProgressed: boolean;
  /** Whether any attempt has. */
  readonly hasBegun: boolean;
}

/**
 * Counts the attempts of one generation. In a round each replica is asked once, without a pause; between rounds there is
 * one. Refusals do not count as failures, so the number of attempts is bounded by the rounds: at most
 * `failuresTotalMax` times `roundsInRowMax` times the number of replicas.
 */
export class Recovery {
  readonly #limits: ResumeLimits;
  readonly #numReplicas: number;
  /** Those that no repetition cures. */
  readonly #lost = new Set<Replica>();
  #tried = new Set<Replica>();
  #refusals: GenerationError[] = [];
  #numRoundsInRow = 0;
  #numFailures = 0;

  constructor(limits: ResumeLimits, numReplicas: number) {
    this.#limits = limits;
    this.#numReplicas = numReplicas;
  }

  /** Those that are not to be asked in this round. */
  get tried(): ReadonlySet<Replica> {
    return this.#tried;
  }

  /**
   * Takes note of a failed attempt.
   * @returns how long to wait before the next one.
   * @throws GenerationError when there shall be none.
   */
  pauseAfter(replica: Replica, { error, isRetryable }: Failure, reached: Reached): number {
    if (MISTAKES.has(error.code)) {
      throw error;
    }
    if (reached.hasProgressed) {
      this.#startRound();
      this.#numRoundsInRow = 0;
    }
    this.#tried.add(replica);
    if (!isRetryable) {
      this.#lost.add(replica);
    }
    if (REFUSALS.has(error.code)) {
      this.#refusals.push(error);
    } else if (++this.#numFailures >= this.#limits.failuresTotalMax || this.#lost.size === this.#numReplicas) {
      throw error;
    }
    if (this.#tried.size < this.#numReplicas) {
      return 0;
    }
    // A client that has read nothing yet may go elsewhere; a stream that it has begun to read is continued.
    if (this.#refusals.length === this.#numReplicas - this.#lost.size && !reached.hasBegun) {
      throw earliest(this.#refusals);
    }
    if (++this.#numRoundsInRow >= this.#limits.roundsInRowMax) {
      throw error;
    }
    this.#startRound();
    return this.#limits.firstDelayMs * 2 ** (this.#numRoundsInRow - 1);
  }

  #startRound(): void {
    this.#tried = new Set(this.#lost);
    this.#refusals = [];
  }
}

/** Of a replica that does not say: longer than any that does. */
const UNKNOWN_WAIT_MS = Number.MAX_SAFE_INTEGER;

/** The refusal that promises room first; a full queue rather than one that is being emptied for good. */
function earliest(refusals: readonly GenerationError[]): GenerationError {
  const waitMs = ({ code, retryAfterMs }: GenerationError): number =>
    code === 'queue_full' ? (retryAfterMs ?? UNKNOWN_WAIT_MS) : Infinity;
  return refusals.reduce((best, refusal) => (waitMs(refusal) < waitMs(best) ? refusal : best));
}
