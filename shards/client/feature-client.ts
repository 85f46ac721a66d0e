/**
 * Features of texts as gateway and classifiers see them: one answer. A head may be reset by a deploy while it computes;
 * then only the texts whose rows did not come are asked for again.
 */
import { FeatureFrameError, FeatureFrameReader, type FeatureFrame } from '../features/feature-frames.ts';
import type { FeatureAnswer, FeatureFailure, FeatureHead, FeatureRequest } from '../features/feature-protocol.ts';
import type { EngineErrorCode } from '../engine/protocol.ts';
import type { Clock } from '../platform/clock.ts';
import { describeError } from '../result.ts';
import { AbortedError, sleepUnlessAborted, unlessAborted } from './abort.ts';

export interface FeatureRetryLimits {
  /** Attempts in all. */
  readonly attemptsMax: number;
  /** Pause after the first failure; doubled after each further one. A head is reborn in a second or two. */
  readonly firstDelayMs: number;
}

export const FEATURE_RETRY_LIMITS: FeatureRetryLimits = { attemptsMax: 5, firstDelayMs: 100 };

/** Features of texts, in the order of the request. */
export interface FeatureMatrix {
  /** `[numTexts, featureSize]` */
  readonly features: Float32Array<ArrayBuffer>;
  readonly featureSize: number;
  /** Of all texts. */
  readonly numTokens: number;
}

/** The features cannot be had. `retryable`: the same may succeed later, or on another replica. */
export class FeatureError extends Error {
  override readonly name = 'FeatureError';
  readonly code: EngineErrorCode;
  readonly retryable: boolean;

  constructor({ code, message, retryable }: FeatureFailure) {
    super(message);
    this.code = code;
    this.retryable = retryable;
  }
}

export interface ExtractOptions {
  /** Heads of the replicas, the one to ask first first; a failure goes on at the next. */
  readonly heads: readonly [FeatureHead, ...FeatureHead[]];
  readonly clock: Clock;
  readonly signal: AbortSignal;
  readonly limits?: FeatureRetryLimits;
}

/**
 * @throws FeatureError when the head refuses or keeps failing; AbortedError when `signal` was aborted.
 */
export async function extractFeatures(request: FeatureRequest, options: ExtractOptions): Promise<FeatureMatrix> {
  const { heads, clock, signal, limits = FEATURE_RETRY_LIMITS } = options;
  const rows: (Float32Array<ArrayBuffer> | null)[] = request.texts.map(() => null);
  for (let attempt = 1; ; attempt++) {
    const head = heads[(attempt - 1) % heads.length] ?? heads[0];
    const failure = await attemptOnce(request, rows, head, signal);
    if (signal.aborted) {
      throw new AbortedError();
    }
    if (failure === null) {
      return toMatrix(request, rows as Float32Array<ArrayBuffer>[]);
    }
    // When the queues of all are full the client is told at once: waiting is its decision.
    const isFull = failure.code === 'queue_full';
    if (!failure.retryable || attempt >= (isFull ? heads.length : limits.attemptsMax)) {
      throw new FeatureError(failure);
    }
    await sleepUnlessAborted(clock, isFull ? 0 : limits.firstDelayMs * 2 ** (attempt - 1), signal);
  }
}

/** Asks for the rows that are missing. @returns null when none is any more */
async function attemptOnce(
  request: FeatureRequest,
  rows: (Float32Array<ArrayBuffer> | null)[],
  head: FeatureHead,
  signal: AbortSignal,
): Promise<FeatureFailure | null> {
  const tokensOf = (index: number): readonly number[] => request.texts[index] ?? [];
  // The longest first: short ones fill the micro-batches better that are left over.
  const missing = [...rows.keys()]
    .filter((index) => rows[index] === null)
    .sort((a, b) => tokensOf(b).length - tokensOf(a).length);
  const texts = missing.map(tokensOf);
  try {
    const call = head.extractFeatures({ ...request, texts, isPieceTaken: true });
    const answer = await unlessAborted(call, signal, giveUp);
    const take = (index: number, row: Float32Array<ArrayBuffer>): void => {
      const textIndex = missing[index];
      if (textIndex === undefined) {
        throw new FeatureFrameError(`a stream of features has a row ${index} of ${missing.length}`);
      }
      rows[textIndex] = row;
    };
    return await (answer instanceof Uint8Array ? readPiece(answer, take) : readStream(answer, signal, take));
  } catch (error) {
    const message = `The model's head shard failed: ${describeError(error)}.`;
    return { code: 'ring_failed', message, retryable: true };
  }
}

function giveUp(answer: FeatureAnswer): void {
  if (!(answer instanceof Uint8Array)) {
    void answer.cancel().catch(() => {});
  }
}

type TakeRow = (index: number, row: Float32Array<ArrayBuffer>) => void;

/** @returns how the answer ended: null when it is complete, undefined when it goes on */
function takeFrames(frames: Iterable<FeatureFrame>, take: TakeRow): FeatureFailure | null | undefined {
  for (const frame of frames) {
    if (frame.kind !== 'row') {
      return frame.kind === 'end' ? null : frame.failure;
    }
    take(frame.textIndex, frame.features);
  }
  return undefined;
}

function readPiece(piece: Uint8Array, take: TakeRow): FeatureFailure | null {
  const end = takeFrames(new FeatureFrameReader().push(piece), take);
  if (end === undefined) {
    throw new FeatureFrameError('the answer ended early');
  }
  return end;
}

async function readStream(
  stream: ReadableStream<Uint8Array>,
  signal: AbortSignal,
  take: TakeRow,
): Promise<FeatureFailure | null> {
  const reader = stream.getReader();
  const cancel = (): void => void reader.cancel().catch(() => {});
  signal.addEventListener('abort', cancel);
  const frames = new FeatureFrameReader();
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) {
        throw new FeatureFrameError('the stream ended early');
      }
      const end = takeFrames(frames.push(value), take);
      if (end !== undefined) {
        return end;
      }
    }
  } finally {
    signal.removeEventListener('abort', cancel);
    cancel();
  }
}

function toMatrix({ texts }: FeatureRequest, rows: readonly Float32Array<ArrayBuffer>[]): FeatureMatrix {
  const featureSize = rows[0]?.length ?? 0;
  const features = new Float32Array(rows.length * featureSize);
  for (const [index, row] of rows.entries()) {
    features.set(row, index * featureSize);
  }
  return { features, featureSize, numTokens: texts.reduce((sum, tokens) => sum + tokens.length, 0) };
}
