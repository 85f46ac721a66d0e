/** A request as origins take it: everything that their API has, checked for its shape, and what it asks of a model. */
import type { Need } from '../../routing/capabilities.ts';

export interface ParsedOriginRequest {
  /** Body for the origin, without `model` and the fields that the gateway sets itself. */
  readonly body: Readonly<Record<string, unknown>>;
  readonly needs: readonly Need[];
  readonly isStream: boolean;
  /** Whether a stream ends with a chunk that has the usage. */
  readonly includeUsage: boolean;
  readonly numChoices: number;
  /** Tokens of prompt and answer that the request has for certain. */
  readonly numTokensAtLeast: number;
  /** Requests with the same key share a prefix, so one origin should get them; null without one. */
  readonly affinityKey: string | null;
}

/** Fields that the gateway sets for the origin itself, or that say nothing to it. */
const GATEWAY_FIELDS = new Set([
  'model',
  'stream',
  'stream_options',
  'user',
  'max_tokens',
  'max_completion_tokens',
  'prompt_cache_key',
]);

/** The client's own values, without nulls: defaults are the origin's business, except those that bound its work. */
export function forwardedFields(body: unknown): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(body as Record<string, unknown>).filter(
      ([name, value]) => value !== null && !GATEWAY_FIELDS.has(name),
    ),
  );
}

/** Whether objects and lists lie in each other deeper than `depthMax`. Does not recurse deeper than that itself. */
export function isDeeperThan(value: unknown, depthMax: number): boolean {
  if (typeof value !== 'object' || value === null) {
    return false;
  }
  return depthMax === 0 || Object.values(value).some((inner) => isDeeperThan(inner, depthMax - 1));
}
