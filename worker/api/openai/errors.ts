/** Errors of the OpenAI surface. One class, one body shape: `{"error": {message, type, param, code}}`. */
import { FeatureError } from '../../../shards/client/feature-client.ts';
import type { EngineErrorCode } from '../../../shards/engine/protocol.ts';
import { OriginError } from '../../origin/origin-backend.ts';
import { GenerationError } from '../../../shards/client/recovery.ts';

export interface ApiErrorDetails {
  readonly status: number;
  readonly message: string;
  /** OpenAI's coarse class. */
  readonly type: 'invalid_request_error' | 'rate_limit_error' | 'server_error';
  /** The field that is wrong, such as `messages[0].content`. */
  readonly param?: string | null;
  /** Stable, for programs. */
  readonly code?: string | null;
  /** Whole seconds after which trying again makes sense. */
  readonly retryAfterSeconds?: number;
  /** Tells clients, which repeat 5xx by themselves, that it would be in vain. */
  readonly isFinal?: boolean;
}

/** Thrown anywhere between the route and the end of an answer; becomes a response, or the last event of a stream. */
export class ApiError extends Error {
  override readonly name = 'ApiError';
  readonly details: ApiErrorDetails;

  constructor(details: ApiErrorDetails) {
    super(details.message);
    this.details = details;
  }

  /** The response body. */
  toJson(): string {
    const { message, type, param = null, code = null } = this.details;
    return JSON.stringify({ error: { message, type, param, code } });
  }

  toResponse(): Response {
    const headers = new Headers({ 'content-type': 'application/json; charset=utf-8' });
    if (this.details.retryAfterSeconds !== undefined) {
      headers.set('retry-after', String(this.details.retryAfterSeconds));
    }
    if (this.details.isFinal === true) {
      headers.set('x-should-retry', 'false');
    }
    if (this.details.status === 401) {
      headers.set('www-authenticate', 'Bearer');
    }
    return new Response(this.toJson(), { status: this.details.status, headers });
  }
}

/** A mistake in the request. Always 4xx and final: clients repeat 409, 429 and 5xx by themselves. */
export function badRequest(message: string, param: string | null, code: string | null = null, status = 400): ApiError {
  return new ApiError({ status, message, type: 'invalid_request_error', param, code });
}

/** How each failure of the engine looks from outside. A code that is added there does not compile until it is here. */
const ENGINE_ERRORS: Readonly<Record<EngineErrorCode, Omit<ApiErrorDetails, 'message'>>> = {
  prompt_too_long: { status: 400, type: 'invalid_request_error', code: 'context_length_exceeded' },
  invalid_request: { status: 400, type: 'invalid_request_error', code: 'invalid_request' },
  queue_full: { status: 429, type: 'rate_limit_error', code: 'queue_full', retryAfterSeconds: 2 },
  draining: { status: 503, type: 'server_error', code: 'draining', retryAfterSeconds: 5 },
  ring_failed: { status: 503, type: 'server_error', code: 'ring_failed', retryAfterSeconds: 5 },
  not_ready: { status: 503, type: 'server_error', code: 'not_ready', retryAfterSeconds: 5 },
  internal: { status: 500, type: 'server_error', code: 'internal' },
};

/** Clients that obey `retry-after` ignore longer waits. */
const RETRY_AFTER_SECONDS_MAX = 60;

export function retryAfterSeconds(retryAfterMs: number): number {
  return Math.min(RETRY_AFTER_SECONDS_MAX, Math.max(1, Math.ceil(retryAfterMs / 1000)));
}

function originFailure({ code, status, message, retryAfterMs, retryable }: OriginError): ApiError {
  return new ApiError({
    status,
    message,
    type: status === 429 ? 'rate_limit_error' : status < 500 ? 'invalid_request_error' : 'server_error',
    code: code === 'rejected' ? 'invalid_request' : `origin_${code}`,
    ...(retryAfterMs === null ? {} : { retryAfterSeconds: retryAfterSeconds(retryAfterMs) }),
    ...(status >= 500 && !retryable ? { isFinal: true } : {}),
  });
}

/** Turns whatever was thrown into the error that the client gets. Unknown errors keep their message to themselves. */
export function toApiError(thrown: unknown): ApiError {
  if (thrown instanceof ApiError) {
    return thrown;
  }
  if (thrown instanceof GenerationError) {
    const { code, message, retryAfterMs } = thrown;
    return new ApiError({
      ...ENGINE_ERRORS[code],
      message,
      ...(retryAfterMs === null ? {} : { retryAfterSeconds: retryAfterSeconds(retryAfterMs) }),
    });
  }
  if (thrown instanceof FeatureError) {
    return new ApiError({ ...ENGINE_ERRORS[thrown.code], message: thrown.message });
  }
  if (thrown instanceof OriginError) {
    return originFailure(thrown);
  }
  return new ApiError({
    status: 500,
    type: 'server_error',
    code: 'internal',
    message: 'The server had an error while answering. Try again; if it stays, report the x-request-id of this answer.',
  });
}
