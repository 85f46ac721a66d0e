/** What clients of runs are told when something is not as they think. */
import type { OpenRunResult, RunSnapshot } from '../../runs/run.ts';
import { ApiError, badRequest } from './errors.ts';

export function openError(failure: Extract<OpenRunResult, { ok: false }>): ApiError {
  switch (failure.reason) {
    case 'key_reused':
      return badRequest(
        "The 'Idempotency-Key' belongs to another request: its endpoint or body was different. Use a new key.",
        null,
        'idempotency_key_reused',
        422,
      );
    case 'too_many_runs':
      return new ApiError({
        status: 429,
        type: 'rate_limit_error',
        code: 'too_many_runs',
        message: 'Too many runs of this key are under way or kept. Wait for some to end, or delete them.',
        retryAfterSeconds: 5,
      });
    default:
      return new ApiError(failure.error);
  }
}

/** Ids in errors come from the client; a long one is cut. */
const ID_LENGTH_MAX = 80;

export function unknownRun(id: string): ApiError {
  return badRequest(
    `There is no response '${id.slice(0, ID_LENGTH_MAX).toWellFormed()}'. Only requests with an 'Idempotency-Key' or ` +
      "'background' are kept, for 5 minutes after they have ended.",
    'id',
    'response_not_found',
    404,
  );
}

/** What ended a run that did not complete; or its stream, when its object could not even write that it has failed. */
export function runError({ error }: RunSnapshot): ApiError {
  return new ApiError(
    error ?? {
      status: 503,
      type: 'server_error',
      code: 'run_interrupted',
      message: 'The run was interrupted. It goes on when it is asked for again.',
      retryAfterSeconds: 5,
    },
  );
}

export function beyondEnd(after: number, { numChunks, status }: RunSnapshot): ApiError {
  const reached = numChunks === 0 ? 'has no event yet' : `has come to ${numChunks - 1}`;
  return badRequest(
    `The response is ${status} and ${reached}: there is nothing after ${after}.`,
    'starting_after',
    'invalid_value',
  );
}

export function tooManyReaders(): ApiError {
  return new ApiError({
    status: 429,
    type: 'rate_limit_error',
    code: 'too_many_readers',
    message: 'This response is read by too many clients at once. End some of these streams.',
    retryAfterSeconds: 5,
  });
}
