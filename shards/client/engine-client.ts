/**
 * One generation as the gateway sees it: a stream of events that goes on when a ring dies. Deploys reset every Durable
 * Object several times a week; the gateway holds the request and the tokens it got, and asks again with both, the same
 * replica or another one. The head prefills them and the sampler is keyed by (seed, position), so the tokens that follow
 * are the ones that would have come.
 */
import type { GenerateEvent, GenerateRequest } from '../engine/protocol.ts';
import type { Clock } from '../platform/clock.ts';
import { describeError } from '../result.ts';
import { AbortedError, sleepUnlessAborted, unlessAborted } from './abort.ts';
import { readEvents } from './event-stream.ts';
import { placementKey } from './placement-key.ts';
import { DEFAULT_RESUME_LIMITS, GenerationError, Recovery, type Failure, type ResumeLimits } from './recovery.ts';
import type { Replica, ReplicaSet, ReplicaWork } from './replica-set.ts';
import { SilenceWatch } from './silence-watch.ts';

export type ContentEvent = Exclude<GenerateEvent, { type: 'error' | 'accepted' | 'alive' }>;

export interface GenerateOptions {
  /** Steers requests with the same key to the same replica; without one the beginning of the prompt does. */
  readonly promptCacheKey?: string | null;
  /** Told about each failure after which the generation was started again. */
  readonly onResume?: (failure: GenerationError) => void;
}

export interface EngineClient {
  /**
   * Events of one generation: perhaps `prompt`, then every token once, then `finish`.
   * @throws GenerationError when it ends otherwise; AbortedError when `signal` was aborted.
   */
  generate(
    request: GenerateRequest,
    signal: AbortSignal,
    options?: GenerateOptions,
  ): AsyncGenerator<ContentEvent, void, undefined>;
}

export function createEngineClient(
  replicas: ReplicaSet,
  clock: Clock,
  limits: ResumeLimits = DEFAULT_RESUME_LIMITS,
): EngineClient {
  return {
    async *generate(request, signal, options = {}) {
      const key = placementKey(request, options.promptCacheKey ?? null);
      const progress: Progress = { emittedTokens: [...request.emittedTokens], isPromptSent: false };
      const recovery = new Recovery(limits, replicas.replicas.length);
      for (let attemptIndex = 0; ; attemptIndex++) {
        const replica = replicas.choose(key, recovery.tried);
        if (replica === undefined) {
          throw new Error('a round that has asked everyone is over');
        }
        const numEmittedBefore = numEmitted(progress);
        const failure = yield* attempt({ replica, clock, limits, request, attemptIndex, progress, signal });
        if (failure === null) {
          return;
        }
        const pauseMs = recovery.pauseAfter(replica, failure, {
          hasProgressed: numEmitted(progress) > numEmittedBefore,
          hasBegun: numEmitted(progress) > 0,
        });
        options.onResume?.(failure.error);
        if (pauseMs > 0) {
          await sleepUnlessAborted(clock, pauseMs, signal);
        }
        throwIfAborted(signal);
      }
    },
  };
}

/** What the client has, over all attempts. */
interface Progress {
  readonly emittedTokens: number[];
  isPromptSent: boolean;
}

const numEmitted = ({ emittedTokens, isPromptSent }: Progress): number => emittedTokens.length + (isPromptSent ? 1 : 0);

interface Attempt {
  readonly replica: Replica;
  readonly clock: Clock;
  readonly limits: ResumeLimits;
  readonly request: GenerateRequest;
  readonly attemptIndex: number;
  readonly progress: Progress;
  readonly signal: AbortSignal;
}

/** Runs the generation once, from where `progress` stands. @returns null when it finished. @throws AbortedError */
async function* attempt(options: Attempt): AsyncGenerator<ContentEvent, Failure | null, undefined> {
  const { replica, clock, limits, signal } = options;
  const silence = new SilenceWatch({ clock, limits, clientSignal: signal });
  const work = replica.begin();
  let failure: Failure | null;
  try {
    failure = yield* attemptEvents(options, silence, work);
  } catch (error) {
    // The call itself or the stream failed. Whatever the runtime names it: the ring is gone, another one may answer.
    failure = ringFailed(silence.isExpired ? silence.description : describeError(error));
  } finally {
    silence.stop();
    work.end();
  }
  if (failure !== null) {
    throwIfAborted(signal);
    noteFailure(replica, failure);
  }
  return failure;
}

function throwIfAborted(signal: AbortSignal): void {
  if (signal.aborted) {
    throw new AbortedError();
  }
}

async function* attemptEvents(
  { replica, request, attemptIndex, progress }: Attempt,
  silence: SilenceWatch,
  work: ReplicaWork,
): AsyncGenerator<ContentEvent, Failure | null, undefined> {
  const call = replica.head.generate({
    ...request,
    // A sequence of an earlier attempt may still be winding up: each attempt has a name of its own.
    requestId: attemptIndex === 0 ? request.requestId : `${request.requestId}.r${attemptIndex}`,
    emittedTokens: [...progress.emittedTokens],
    numPromptLogprobs: progress.isPromptSent ? null : request.numPromptLogprobs,
  });
  const stream = await unlessAborted(call, silence.signal, (late) => void late.cancel().catch(() => {}));
  for await (const event of readEvents(stream, silence.signal)) {
    if (event.type === 'alive') {
      silence.allow(event.nextWithinMs);
      continue;
    }
    silence.noteProgress();
    if (event.type === 'accepted') {
      silence.allow(event.nextWithinMs);
      work.accepted(event.load);
      continue;
    }
    if (event.type === 'error') {
      const { code, message, retryable, retryAfterMs = null } = event;
      return { error: new GenerationError(code, message, retryAfterMs), isRetryable: retryable };
    }
    work.alive();
    if (event.type === 'token') {
      progress.emittedTokens.push(event.tokenId);
    }
    progress.isPromptSent ||= event.type === 'prompt';
    // How long the client takes says nothing about the head, which stops when nobody reads.
    silence.pause();
    yield event;
    if (event.type === 'finish') {
      return null;
    }
    silence.noteProgress();
  }
  return ringFailed(silence.isExpired ? silence.description : 'the stream ended early');
}

function noteFailure(replica: Replica, { error }: Failure): void {
  switch (error.code) {
    case 'queue_full':
      return replica.setBack('full');
    case 'draining':
      return replica.setBack('draining');
    case 'ring_failed':
    case 'not_ready':
    case 'internal':
      return replica.setBack('failed');
    case 'prompt_too_long':
    case 'invalid_request':
    // That says nothing about the replica.
  }
}

function ringFailed(detail: string): Failure {
  return { error: new GenerationError('ring_failed', `The model's ring failed: ${detail}.`), isRetryable: true };
}
