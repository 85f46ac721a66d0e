/** One call to one origin: sent, watched, and read as far as it takes to know that it is an answer. */
import type { Clock } from '../../shards/platform/clock.ts';
import { AbortedError, unlessAborted } from '../../shards/client/abort.ts';
import { DeadlineWatch } from './deadline-watch.ts';
import type {
  CalledOperation,
  OriginDeadlines,
  OriginOperation,
  OriginRequest,
  StreamedOperation,
} from './origin-backend.ts';
import type { OriginConfig, OriginModelConfig } from './origin-config.ts';
import type { Origin } from './origin.ts';
import { AnswerReader, UpstreamErrorEvent, type AnswerPiece } from './upstream-answer.ts';
import { parseObject, readText, readUpstreamEvents, UpstreamFormatError } from './upstream-events.ts';
import {
  badResponse,
  failureOfErrorBody,
  failureOfStatus,
  failureOfThrown,
  timedOut,
  type Failure,
} from './upstream-failure.ts';

/** How long the count may take that follows the last content; the answer is whole without it. */
const USAGE_MS_MAX = 2_000;

/** Of the body of a refusal, that much is read. */
const REFUSAL_BYTES_MAX = 64 * 1024;

const PATHS: Readonly<Record<OriginOperation, string>> = {
  chat: '/v1/chat/completions',
  completion: '/v1/completions',
  embeddings: '/v1/embeddings',
  rerank: '/v1/rerank',
  image: '/v1/images/generations',
};

/** Engines that send the head of a stream before they have content; the others may prefill first. */
const EARLY_HEAD: ReadonlySet<OriginConfig['engine']> = new Set(['vllm', 'sglang']);

export class AttemptFailedError extends Error {
  override readonly name = 'AttemptFailedError';
  readonly failure: Failure;

  constructor(failure: Failure) {
    super(failure.error.message);
    this.failure = failure;
  }
}

export interface Attempt<Operation extends OriginOperation> {
  readonly origin: Origin;
  readonly model: OriginModelConfig;
  readonly request: OriginRequest<Operation>;
  readonly deadlines: OriginDeadlines;
  /** What is left of the total. */
  readonly remainingMs: number;
  readonly clock: Clock;
  readonly signal: AbortSignal;
}

export interface OpenAnswer {
  readonly reader: AnswerReader;
  /**
   * Ends when the answer is whole; what came before the first content is there too.
   * @throws AttemptFailedError; AbortedError.
   */
  readonly pieces: AsyncGenerator<AnswerPiece, void, undefined>;
  /** Ends the origin's work, also while `pieces` is being waited for. */
  abort(): void;
}

/**
 * Resolves at the first content.
 * @throws AttemptFailedError when there is none; AbortedError when the client left.
 */
export async function openAnswer(attempt: Attempt<StreamedOperation>): Promise<OpenAnswer> {
  const { origin, model, request, deadlines, remainingMs, clock, signal } = attempt;
  const watch = new DeadlineWatch(clock, remainingMs, signal);
  const reader = new AnswerReader(numChoicesOf(request));
  const pieces = readPieces();
  try {
    const first = await pieces.next();
    if (first.done === true) {
      throw new UpstreamFormatError('the stream was empty');
    }
    return { reader, pieces: prepend(first.value, pieces), abort: () => watch.stop() };
  } catch (error) {
    watch.stop();
    throw error;
  }

  async function* readPieces(): AsyncGenerator<AnswerPiece, void, undefined> {
    let early: AnswerPiece[] | null = [];
    try {
      const isHeadEarly = EARLY_HEAD.has(origin.config.engine);
      watch.startPhase('no answer came', isHeadEarly ? deadlines.connectMs : deadlines.firstTokenMs);
      const response = await send(attempt, streamedBody(origin.config.engine, model, request), watch.signal);
      if (isHeadEarly) {
        watch.startPhase('no content came', deadlines.firstTokenMs);
      }
      await refuseOtherThanStream(origin.id, response, watch.signal);
      const body = response.body as ReadableStream<Uint8Array>;
      for await (const event of readUpstreamEvents(body, watch.signal)) {
        const piece = reader.read(event);
        if (piece === null) {
          continue;
        }
        if (early !== null && !piece.hasContent) {
          early.push(piece);
          continue;
        }
        const ready: AnswerPiece[] = [...(early ?? []), piece];
        early = null;
        watch.endPhase();
        yield* ready;
        watch.startPhase('no further content came', reader.isComplete ? USAGE_MS_MAX : deadlines.betweenTokensMs);
      }
      if (!reader.isComplete) {
        throw new UpstreamFormatError(early === null ? 'the stream ended early' : 'the stream ended without content');
      }
    } catch (error) {
      if (!reader.isComplete || signal.aborted) {
        throw explain(error, attempt, watch);
      }
    } finally {
      watch.stop();
    }
  }
}

/** @throws AttemptFailedError; AbortedError. */
export async function callOnce(attempt: Attempt<CalledOperation>): Promise<Record<string, unknown>> {
  const { origin, model, request, deadlines, remainingMs, clock, signal } = attempt;
  const watch = new DeadlineWatch(clock, remainingMs, signal);
  watch.startPhase('no answer came', deadlines.firstTokenMs);
  try {
    const response = await send(attempt, { ...request.body, model: model.upstream }, watch.signal);
    const body = parseObject(await readText(response, watch.signal));
    if (body['error'] !== undefined && body['error'] !== null) {
      throw new AttemptFailedError(failureOfErrorBody(origin.id, body['error']));
    }
    return body;
  } catch (error) {
    throw explain(error, attempt, watch);
  } finally {
    watch.stop();
  }
}

/** @throws AttemptFailedError for any status but 200. */
async function send(
  { origin, request, remainingMs }: Attempt<OriginOperation>,
  body: Record<string, unknown>,
  signal: AbortSignal,
): Promise<Response> {
  const sent = origin.transport.fetch(PATHS[request.operation], {
    method: 'POST',
    body: JSON.stringify(body),
    headers: { 'x-request-id': request.requestId, 'x-request-timeout-ms': String(Math.ceil(remainingMs)) },
    signal,
  });
  const response = await unlessAborted(sent, signal, (late) => void late.body?.cancel().catch(() => {}));
  if (response.status !== 200) {
    const text = await readText(response, signal, REFUSAL_BYTES_MAX).catch(() => '');
    throw new AttemptFailedError(failureOfStatus(origin.id, response.status, response.headers, text));
  }
  return response;
}

async function refuseOtherThanStream(originId: string, response: Response, signal: AbortSignal): Promise<void> {
  const contentType = response.headers.get('content-type') ?? '';
  if (contentType.startsWith('text/event-stream') && response.body !== null) {
    return;
  }
  const text = await readText(response, signal, REFUSAL_BYTES_MAX);
  const failure = contentType.startsWith('application/json') ? failureInBody(originId, text) : null;
  throw new AttemptFailedError(failure ?? badResponse(originId, `it sent '${contentType}' in place of a stream`));
}

function failureInBody(originId: string, text: string): Failure | null {
  const { error } = parseObject(text);
  return error === undefined ? null : failureOfErrorBody(originId, error);
}

function explain(thrown: unknown, { origin, signal }: Attempt<OriginOperation>, watch: DeadlineWatch): Error {
  if (signal.aborted) {
    return new AbortedError();
  }
  if (watch.expired !== null) {
    return new AttemptFailedError(timedOut(origin.id, watch.expired));
  }
  if (thrown instanceof AttemptFailedError) {
    return thrown;
  }
  // Stopped by us: the answer is no longer wanted.
  if (thrown instanceof AbortedError) {
    return thrown;
  }
  if (thrown instanceof UpstreamErrorEvent) {
    return new AttemptFailedError(failureOfErrorBody(origin.id, thrown.detail));
  }
  return new AttemptFailedError(failureOfThrown(origin.id, thrown));
}

async function* prepend<T>(first: T, rest: AsyncGenerator<T, void, undefined>): AsyncGenerator<T, void, undefined> {
  yield first;
  yield* rest;
}

function numChoicesOf({ operation, body }: OriginRequest): number {
  const { n, prompt } = body;
  const isBatch = operation === 'completion' && Array.isArray(prompt) && typeof prompt[0] !== 'number';
  return (typeof n === 'number' ? n : 1) * (isBatch ? prompt.length : 1);
}

/** What the engine is told beside the client's fields: to stream, to count, and whose prefixes may be shared. */
function streamedBody(
  engine: OriginConfig['engine'],
  model: OriginModelConfig,
  request: OriginRequest,
): Record<string, unknown> {
  const isVllm = engine === 'vllm';
  return {
    ...(engine === 'llama.cpp' ? inNamesOfLlamaCpp(request.body) : request.body),
    model: model.upstream,
    stream: true,
    stream_options: { include_usage: true, ...(isVllm ? { continuous_usage_stats: true } : {}) },
    ...(isVllm ? { cache_salt: request.tenant } : {}),
    ...(engine === 'llama.cpp' ? { timings_per_token: true } : {}),
  };
}

/** llama.cpp's server ignores vLLM's and SGLang's name of this penalty without a word. */
function inNamesOfLlamaCpp({ repetition_penalty: penalty, ...body }: OriginRequest['body']): Record<string, unknown> {
  return penalty === undefined ? body : { ...body, repeat_penalty: penalty };
}
