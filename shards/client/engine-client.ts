/**
 * One generation as the gateway sees it: a stream of events that goes on when a ring dies. Deploys reset every Durable
 * Object several times a week; the gateway holds the request and the tokens it got, and asks again with both. The head
 * prefills them and the sampler is keyed by (seed, position), so the tokens that follow are the ones that would have come.
 */
import type { EngineErrorCode, GenerateEvent, GenerateRequest, HeadClient } from '../engine/protocol.ts';
import type { Clock, Timer } from '../platform/clock.ts';
import { describeError } from '../result.ts';
import { AbortedError, sleepUnlessAborted, unlessAborted } from './abort.ts';
import { readEvents } from './event-stream.ts';

export interface ResumeLimits {
  /** Failures in a row without a token between them. With the delays below: a ring has some 3 s to be reborn. */
  readonly failuresInRowMax: number;
  /** Failures in all: a ring that dies after every token is not worth the prefills. */
  readonly failuresTotalMax: number;
  /** Pause after the first failure; doubled after each further one in a row. */
  readonly firstDelayMs: number;
  /** Longest silence of a stream. A prompt of 8192 tokens prefills in well under a minute, alone or behind others. */
  readonly silenceMsMax: number;
}

export const DEFAULT_RESUME_LIMITS: ResumeLimits = {
  failuresInRowMax: 6,
  failuresTotalMax: 16,
  firstDelayMs: 100,
  silenceMsMax: 120_000,
};

/** A generation ended without a finish. `code` is the engine's, also for failures that only the gateway saw. */
export class GenerationError extends Error {
  override readonly name = 'GenerationError';
  readonly code: EngineErrorCode;

  constructor(code: EngineErrorCode, message: string) {
    super(message);
    this.code = code;
  }
}

export type ContentEvent = Exclude<GenerateEvent, { type: 'error' }>;

export interface EngineClient {
  /**
   * Events of one generation: perhaps `prompt`, then every token once, then `finish`.
   * @param onResume told about each failure after which the generation was started again.
   * @throws GenerationError when it ends otherwise; AbortedError when `signal` was aborted.
   */
  generate(
    request: GenerateRequest,
    signal: AbortSignal,
    onResume?: (failure: GenerationError) => void,
  ): AsyncGenerator<ContentEvent, void, undefined>;
}

export function createEngineClient(
  head: HeadClient,
  clock: Clock,
  limits: ResumeLimits = DEFAULT_RESUME_LIMITS,
): EngineClient {
  return {
    async *generate(request, signal, onResume) {
      const progress: Progress = { emittedTokens: [...request.emittedTokens], isPromptSent: false };
      let failuresInRow = 0;
      for (let failures = 0; ; failures++) {
        const numEmittedBefore = progress.emittedTokens.length;
        const failure = yield* attempt(head, clock, limits, request, failures, progress, signal);
        if (signal.aborted) {
          throw new AbortedError();
        }
        if (failure === null) {
          return;
        }
        failuresInRow = progress.emittedTokens.length > numEmittedBefore ? 1 : failuresInRow + 1;
        if (
          !isWorthRetry(failure, progress) ||
          failuresInRow >= limits.failuresInRowMax ||
          failures + 1 >= limits.failuresTotalMax
        ) {
          throw failure.error;
        }
        onResume?.(failure.error);
        await sleepUnlessAborted(clock, limits.firstDelayMs * 2 ** (failuresInRow - 1), signal);
      }
    },
  };
}

/** What the client has, over all attempts. */
interface Progress {
  readonly emittedTokens: number[];
  isPromptSent: boolean;
}

interface Failure {
  readonly error: GenerationError;
  readonly isRetryable: boolean;
}

/** A full queue is told to the client at once, who may go elsewhere; a stream that it has begun to read is continued. */
function isWorthRetry({ error, isRetryable }: Failure, progress: Progress): boolean {
  return isRetryable && (error.code !== 'queue_full' || progress.emittedTokens.length > 0 || progress.isPromptSent);
}

/** Runs the generation once, from where `progress` stands. @returns null when it finished or was aborted. */
async function* attempt(
  head: HeadClient,
  clock: Clock,
  limits: ResumeLimits,
  request: GenerateRequest,
  attemptIndex: number,
  progress: Progress,
  signal: AbortSignal,
): AsyncGenerator<ContentEvent, Failure | null, undefined> {
  const silence = new SilenceWatch(clock, limits.silenceMsMax, signal);
  try {
    const call = head.generate({
      ...request,
      // A sequence of an earlier attempt may still be winding up: each attempt has a name of its own.
      requestId: attemptIndex === 0 ? request.requestId : `${request.requestId}.r${attemptIndex}`,
      emittedTokens: [...progress.emittedTokens],
      numPromptLogprobs: progress.isPromptSent ? null : request.numPromptLogprobs,
    });
    const stream = await unlessAborted(call, silence.signal, (late) => void late.cancel().catch(() => {}));
    for await (const event of readEvents(stream, silence.signal)) {
      silence.restart();
      if (event.type === 'error') {
        return { error: new GenerationError(event.code, event.message), isRetryable: event.retryable };
      }
      if (event.type === 'token') {
        progress.emittedTokens.push(event.tokenId);
      }
      progress.isPromptSent ||= event.type === 'prompt';
      yield event;
      if (event.type === 'finish') {
        return null;
      }
    }
    return ringFailed(silence.isExpired ? silence.description : 'the stream ended early');
  } catch (error) {
    // The call itself or the stream failed. Whatever the runtime names it: the ring is gone, a new one may answer.
    return ringFailed(silence.isExpired ? silence.description : describeError(error));
  } finally {
    silence.stop();
  }
}

function ringFailed(detail: string): Failure {
  return { error: new GenerationError('ring_failed', `The model's ring failed: ${detail}.`), isRetryable: true };
}

/** A signal that is aborted when the client's is, and when nothing has come for too long. */
class SilenceWatch {
  readonly #clock: Clock;
  readonly #silenceMsMax: number;
  readonly #controller = new AbortController();
  readonly #clientSignal: AbortSignal;
  readonly #onClientAbort = (): void => this.#controller.abort();
  #timer: Timer | null = null;
  isExpired = false;

  constructor(clock: Clock, silenceMsMax: number, clientSignal: AbortSignal) {
    this.#clock = clock;
    this.#silenceMsMax = silenceMsMax;
    this.#clientSignal = clientSignal;
    if (clientSignal.aborted) {
      this.#controller.abort();
    }
    clientSignal.addEventListener('abort', this.#onClientAbort);
    this.restart();
  }

  get description(): string {
    return `nothing came for ${this.#silenceMsMax} ms`;
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  restart(): void {
    this.#timer?.cancel();
    this.#timer = this.#clock.startTimer(this.#silenceMsMax, () => {
      this.isExpired = true;
      this.#controller.abort();
    });
  }

  stop(): void {
    this.#timer?.cancel();
    this.#clientSignal.removeEventListener('abort', this.#onClientAbort);
  }
}
