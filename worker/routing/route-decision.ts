/**
 * Who serves a request: the model that was asked for, or, where the client allows it, the one it may fall back to. A pure
 * function of what is known so far; it is asked again whenever a backend has turned out not to serve the request.
 */
import type { CanServe } from '../origin/origin-backend.ts';
import type { Capability, Need } from './capabilities.ts';
import { isRingEntry, ringCapabilities, type CatalogEntry, type RingEntry } from './catalog.ts';

/** Tier that a request may fall back to. What a client does not allow never happens. */
export const FALLBACK_POLICIES = ['none', 'lite', 'pro'] as const;

export type FallbackPolicy = (typeof FALLBACK_POLICIES)[number];

/** Why an entry does not serve a request: as far as one can tell beforehand, or found out by trying. */
export type Obstacle = Extract<CanServe, { ok: false }> | LearntObstacle;

export interface LearntObstacle {
  readonly reason: 'context_length' | 'capability' | 'overloaded' | 'unavailable' | 'failed';
  /** What the client gets if nobody else serves the request. */
  readonly error: Error;
}

export interface RouteQuestion {
  readonly asked: CatalogEntry;
  /** Entry that the policy allows to fall back to; undefined without one. */
  readonly fallback: CatalogEntry | undefined;
  readonly needs: readonly Need[];
  /** Tokens of prompt and answer that the request has for certain: more may turn up. */
  readonly numTokensAtLeast: number;
  /** Whether an origin would take a request now. */
  readonly originsCanServe: (model: string, needs: ReadonlySet<Capability>, numTokensAtLeast: number) => CanServe;
  /** What has been found out by trying, by the id of the entry. */
  readonly learnt: ReadonlyMap<string, LearntObstacle>;
}

export type RouteDecision =
  | {
      readonly type: 'serve';
      readonly entry: CatalogEntry;
      /** Why it is not the entry that was asked for; null when it is. */
      readonly fallbackReason: string | null;
    }
  /** `obstacle` is that of the entry that was asked for: that is what the client can do something about. */
  | { readonly type: 'refuse'; readonly obstacle: Obstacle };

export function decideRoute(question: RouteQuestion): RouteDecision {
  const { asked, fallback } = question;
  const obstacle = obstacleOf(asked, question);
  if (obstacle === null) {
    return { type: 'serve', entry: asked, fallbackReason: null };
  }
  if (fallback === undefined || fallback.id === asked.id || obstacleOf(fallback, question) !== null) {
    return { type: 'refuse', obstacle };
  }
  return { type: 'serve', entry: fallback, fallbackReason: describeObstacle(obstacle) };
}

function obstacleOf(entry: CatalogEntry, question: RouteQuestion): Obstacle | null {
  const learnt = question.learnt.get(entry.id);
  if (learnt !== undefined) {
    return learnt;
  }
  const needs = new Set(question.needs.map(({ capability }) => capability));
  const answer = isRingEntry(entry)
    ? ringCanServe(entry, needs, question.numTokensAtLeast)
    : question.originsCanServe(entry.id, needs, question.numTokensAtLeast);
  return answer.ok ? null : answer;
}

/** Whether the ring has room shows when it is asked. */
function ringCanServe(entry: RingEntry, needs: ReadonlySet<Capability>, numTokensAtLeast: number): CanServe {
  const offered = ringCapabilities(entry);
  const missing = [...needs].find((capability) => !offered.has(capability));
  if (missing !== undefined) {
    return { ok: false, reason: 'capability', missing };
  }
  const { contextLengthMax: contextLength } = entry;
  return contextLength !== undefined && numTokensAtLeast > contextLength
    ? { ok: false, reason: 'context_length', contextLength }
    : { ok: true };
}

/** A word for headers and records, such as `capability:tools`. */
function describeObstacle(obstacle: Obstacle): string {
  return 'missing' in obstacle ? `capability:${obstacle.missing}` : obstacle.reason;
}
