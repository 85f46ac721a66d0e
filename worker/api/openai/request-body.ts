/** The body of a request as JSON, and the two fields of it that decide where it goes. */
import type { GatewayLimits } from '../../limits.ts';
import { FALLBACK_POLICIES, type FallbackPolicy } from '../../routing/route-decision.ts';
import { readJsonBody, type BodyError } from '../http/body.ts';
import { badRequest, type ApiError } from './errors.ts';

export async function readBody(request: Request, limits: GatewayLimits): Promise<unknown> {
  const contentType = request.headers.get('content-type')?.split(';')[0]?.trim().toLowerCase();
  if (contentType !== 'application/json') {
    const message = "The body must be JSON, with the header 'Content-Type: application/json'.";
    throw badRequest(message, null, 'invalid_content_type', 415);
  }
  const body = await readJsonBody(request, limits.bodyBytesMax);
  if (!body.ok) {
    throw bodyError(body.error);
  }
  return body.value;
}

export function bodyError(error: BodyError): ApiError {
  if (error.reason === 'too_large') {
    return badRequest(`The body is larger than ${error.bytesMax} bytes. Send less.`, null, 'body_too_large', 413);
  }
  if (error.reason === 'not_utf8') {
    return badRequest('The body is not valid UTF-8.', null, 'invalid_json');
  }
  return badRequest(`The body is not valid JSON: ${error.detail}`, null, 'invalid_json');
}

export interface RoutedBody {
  /** The body without `fallback`. */
  readonly body: unknown;
  /** The model's name; null when there is no text of that name, which the surface's own schema refuses. */
  readonly model: string | null;
  readonly policy: FallbackPolicy;
}

/**
 * @param defaultPolicy of the key, for requests that do not say.
 * @throws ApiError when `fallback` is not a policy.
 */
export function takeRouting(value: unknown, defaultPolicy: FallbackPolicy): RoutedBody {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    return { body: value, model: null, policy: defaultPolicy };
  }
  const { fallback, ...body } = value as Record<string, unknown>;
  const policy = FALLBACK_POLICIES.find((known) => known === (fallback ?? defaultPolicy));
  if (policy === undefined) {
    const known = FALLBACK_POLICIES.map((name) => `'${name}'`).join(', ');
    throw badRequest(`Invalid value for 'fallback': expected one of ${known}.`, 'fallback', 'invalid_value');
  }
  const { model } = body as { model?: unknown };
  return { body, model: typeof model === 'string' ? model : null, policy };
}

/**
 * @returns the body without `background`, and what it said.
 * @throws ApiError when it is neither true nor false.
 */
export function takeBackground(value: unknown): { readonly body: unknown; readonly isBackground: boolean } {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    return { body: value, isBackground: false };
  }
  const { background, ...body } = value as Record<string, unknown>;
  if (typeof (background ?? false) !== 'boolean') {
    throw badRequest("Invalid value for 'background': expected true or false.", 'background', 'invalid_value');
  }
  return { body, isBackground: background === true };
}
