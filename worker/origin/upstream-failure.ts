/** What a failed call to an origin means: for the client, for the next attempt, and for the origin's breaker. */
import { describeError } from '../../shards/result.ts';
import { OriginError } from './origin-backend.ts';
import { RETRY_AFTER_MS_MAX } from './origin-slots.ts';
import { parseObject, UpstreamFormatError } from './upstream-events.ts';

/** Of what an origin says about a failure, that much is passed on. */
const MESSAGE_LENGTH_MAX = 500;

export interface Failure {
  readonly error: OriginError;
  /** Whether another attempt may go better. */
  readonly isWorthRetry: boolean;
  /** Whether it speaks against the origin. */
  readonly isOriginsFault: boolean;
}

/** Statuses with which an engine says that the request itself is wrong; a retry would only be refused again. */
const CLIENT_MISTAKES: ReadonlySet<number> = new Set([400, 405, 409, 413, 415, 422]);
const CREDENTIAL_PROBLEMS: ReadonlySet<number> = new Set([401, 403, 404]);

export function failureOfStatus(originId: string, status: number, headers: Headers, body: string): Failure {
  const said = messageIn(body);
  if (CLIENT_MISTAKES.has(status)) {
    const error = new OriginError('rejected', said ?? 'The model refused the request.', { status });
    return { error, isWorthRetry: false, isOriginsFault: false };
  }
  if (CREDENTIAL_PROBLEMS.has(status) || (status >= 300 && status < 400)) {
    const advice = status === 404 ? 'the name of its model and its URL' : 'its URL and credentials';
    const message = `The origin '${originId}' answered ${status}: check ${advice} in ORIGINS.`;
    return { error: new OriginError('misconfigured', message), isWorthRetry: true, isOriginsFault: true };
  }
  const retryAfterMs = readRetryAfterMs(headers);
  const code = status === 429 ? 'overloaded' : 'bad_status';
  const error = new OriginError(code, `The origin '${originId}' answered ${status}.`, { retryAfterMs });
  const isForbidden = headers.get('x-should-retry') === 'false';
  // An engine that is full works as it should.
  return { error, isWorthRetry: !isForbidden, isOriginsFault: status !== 429 };
}

/** The body of an answer with status 200, or an event of a stream, is an error. */
export function failureOfErrorBody(originId: string, error: unknown): Failure {
  const detail = typeof error === 'object' && error !== null ? (error as Record<string, unknown>) : { message: error };
  const status = Number(detail['code'] ?? detail['status']);
  if (CLIENT_MISTAKES.has(status)) {
    return failureOfStatus(originId, status, new Headers(), JSON.stringify({ error: detail }));
  }
  return badResponse(originId, 'it answered 200 with an error in the body');
}

export function badResponse(originId: string, detail: string): Failure {
  const error = new OriginError('bad_response', `The origin '${originId}' gave no usable answer: ${detail}.`);
  return { error, isWorthRetry: true, isOriginsFault: true };
}

export function timedOut(originId: string, detail: string): Failure {
  const error = new OriginError('timeout', `The origin '${originId}' was too slow: ${detail}.`);
  return { error, isWorthRetry: true, isOriginsFault: true };
}

/** @param thrown by `fetch` or while the body was read. */
export function failureOfThrown(originId: string, thrown: unknown): Failure {
  if (thrown instanceof UpstreamFormatError) {
    return badResponse(originId, thrown.message);
  }
  const error = new OriginError('connect_failed', `The origin '${originId}' could not be reached, or went away.`, {
    cause: describeError(thrown),
  });
  return { error, isWorthRetry: true, isOriginsFault: true };
}

/** In seconds, as engines write it; null otherwise. */
function readRetryAfterMs(headers: Headers): number | null {
  const seconds = Number(headers.get('retry-after') ?? Number.NaN);
  return Number.isFinite(seconds) && seconds >= 0 ? Math.min(RETRY_AFTER_MS_MAX, seconds * 1000) : null;
}

/** The message of an error in OpenAI's form or one of its variants, made fit for a header or a log. */
function messageIn(body: string): string | null {
  try {
    const parsed = parseObject(body);
    const inner = typeof parsed['error'] === 'object' && parsed['error'] !== null ? parsed['error'] : parsed;
    const { message, detail } = inner as Record<string, unknown>;
    const text = typeof message === 'string' ? message : detail;
    return typeof text === 'string' ? printable(text).slice(0, MESSAGE_LENGTH_MAX) : null;
  } catch {
    return null;
  }
}

function printable(text: string): string {
  // oxlint-disable-next-line no-control-regex -- control characters are what is taken out
  return text.replace(/[\u0000-\u001f\u007f]+/g, ' ');
}
