/** Obstacles on a request's way to a backend: what the client is told, and which failures are obstacles at all. */
import { OriginError } from '../../origin/origin-backend.ts';
import type { Capability, Need } from '../../routing/capabilities.ts';
import type { CatalogEntry } from '../../routing/catalog.ts';
import { GenerationError } from '../../../shards/client/recovery.ts';
import type { LearntObstacle, Obstacle } from '../../routing/route-decision.ts';
import { ApiError, badRequest, retryAfterSeconds } from './errors.ts';

/** What the client is told when nobody serves the request. */
export function obstacleError(entry: CatalogEntry, needs: readonly Need[], obstacle: Obstacle): Error {
  if ('error' in obstacle) {
    return obstacle.error;
  }
  switch (obstacle.reason) {
    case 'not_configured':
      return notConfigured(entry);
    case 'capability':
      return lacking(entry, needs, obstacle.missing);
    case 'context_length':
      return badRequest(
        `This model's context is ${obstacle.contextLength} tokens, less than prompt and answer need. ` +
          `Lower 'max_tokens' or shorten the prompt.`,
        'max_tokens',
        'context_length_exceeded',
      );
    default:
      return busy(entry, obstacle.reason === 'overloaded', obstacle.retryAfterMs);
  }
}

function notConfigured(entry: CatalogEntry): ApiError {
  return new ApiError({
    status: 503,
    type: 'server_error',
    code: 'backend_not_configured',
    message:
      `The model '${entry.id}' needs an origin, and none is configured that serves it. Attach one: locally with ` +
      `'lamina dev --origin URL --origin-key KEY', deployed with the gateway's variable ORIGINS.`,
    isFinal: true,
  });
}

function lacking(entry: CatalogEntry, needs: readonly Need[], missing: Capability): ApiError {
  const param = needs.find(({ capability }) => capability === missing)?.param ?? null;
  return param === null
    ? badRequest(
        `The model '${entry.id}' does not offer '${missing}' here. 'GET /v1/models' says what each model can do.`,
        'model',
        'unsupported_model',
      )
    : badRequest(
        `'${param}' is not supported by this model: it lacks the capability '${missing}'. Remove it.`,
        param,
        'unsupported_parameter',
      );
}

function busy(entry: CatalogEntry, isFull: boolean, retryAfterMs: number): ApiError {
  return new ApiError({
    status: isFull ? 429 : 503,
    type: isFull ? 'rate_limit_error' : 'server_error',
    code: isFull ? 'origin_overloaded' : 'origin_unavailable',
    message: isFull
      ? `All origins of the model '${entry.id}' are busy and their queues are full. Try again later.`
      : `No origin of the model '${entry.id}' answers at the moment. Try again later.`,
    retryAfterSeconds: retryAfterSeconds(retryAfterMs),
  });
}

/** @returns null when another backend would not serve the request either: it is wrong, or its client is gone. */
export function obstacleOfFailure(thrown: unknown): LearntObstacle | null {
  const reason = reasonOf(thrown);
  return reason === null ? null : { reason, error: thrown as Error };
}

function reasonOf(thrown: unknown): LearntObstacle['reason'] | null {
  if (thrown instanceof ApiError) {
    const { code } = thrown.details;
    if (code === 'context_length_exceeded') {
      return 'context_length';
    }
    return code === 'unsupported_parameter' || code === 'unsupported_model' ? 'capability' : null;
  }
  if (thrown instanceof GenerationError) {
    return ENGINE_REASONS[thrown.code];
  }
  return thrown instanceof OriginError ? ORIGIN_REASONS[thrown.code] : null;
}

const ENGINE_REASONS: Readonly<Record<GenerationError['code'], LearntObstacle['reason'] | null>> = {
  prompt_too_long: 'context_length',
  invalid_request: null,
  queue_full: 'overloaded',
  draining: 'unavailable',
  ring_failed: 'failed',
  not_ready: 'unavailable',
  internal: 'failed',
};

const ORIGIN_REASONS: Readonly<Record<OriginError['code'], LearntObstacle['reason'] | null>> = {
  not_configured: 'unavailable',
  capability: 'capability',
  unavailable: 'unavailable',
  overloaded: 'overloaded',
  rejected: null,
  misconfigured: 'failed',
  connect_failed: 'failed',
  timeout: 'failed',
  bad_status: 'failed',
  bad_response: 'failed',
  // Something has been answered already.
  cut: null,
};
