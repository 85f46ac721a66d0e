/** From the configured origins to the one that gets a request, with a slot of it and its breaker's leave. */
import type { Clock } from '../../shards/platform/clock.ts';
import type { Capability } from '../routing/capabilities.ts';
import { chooseOrigin } from './choose-origin.ts';
import { mayHedge } from './hedge.ts';
import { OriginError, type CanServe, type OriginModel, type OriginRequest } from './origin-backend.ts';
import type { Report } from './origin-breaker.ts';
import type { OriginModelConfig } from './origin-config.ts';
import { RETRY_AFTER_MS_MAX, type Lease } from './origin-slots.ts';
import { missingCapability, type Origin } from './origin.ts';

/** Longest wait for a slot: after that a client does better to go away and come back. */
export const QUEUE_MS_MAX = 30_000;

export interface PickOptions {
  readonly origins: readonly Origin[];
  readonly request: OriginRequest;
  /** Origins that have failed this request; taken again only when there is no other. */
  readonly tried: ReadonlySet<Origin>;
  /** When the request's time is over. */
  readonly endMs: number;
  readonly clock: Clock;
  readonly random: () => number;
  readonly signal: AbortSignal;
}

/** The caller gives the lease back and reports what came of the attempt. */
export interface Picked {
  readonly origin: Origin;
  readonly model: OriginModelConfig;
  readonly lease: Lease;
  readonly report: Report;
}

/**
 * @returns the error for the client when nobody can take the request.
 * @throws AbortedError when the client left while it waited.
 */
export async function pickOrigin(options: PickOptions): Promise<Picked | OriginError> {
  const { origins, request, endMs, clock, signal } = options;
  const { model: publicId, needs, priority, promptTokensEstimate } = request;
  for (;;) {
    // Not by the estimate: an image's text is long and its tokens are few. The engine refuses what is too long.
    const answer = canServe(origins, publicId, needs, 0);
    if (!answer.ok) {
      return errorOf(answer, publicId);
    }
    const origin = choose(options);
    const model = origin?.model(publicId);
    if (origin === undefined || model === undefined) {
      return overloaded(publicId, retryAfterMsOf(origins));
    }
    const timeoutMs = Math.max(0, Math.min(QUEUE_MS_MAX, endMs - clock.nowMs()));
    const slot = await origin.slots.acquire(priority, promptTokensEstimate, timeoutMs, signal);
    if (slot === 'moved') {
      continue;
    }
    if (typeof slot === 'string') {
      return overloaded(publicId, origin.slots.retryAfterMs);
    }
    // While it waited the origin may have failed others, or somebody may be trying whether it is back.
    if (origin.waitMs > 0) {
      slot.release();
      continue;
    }
    return { origin, model, lease: slot, report: origin.breaker.begin() };
  }
}

/**
 * An origin that is asked beside `first`, at once; null when none may be.
 * @param pay asked when there is one; it is not taken when the answer is no.
 */
export function pickHedge(
  first: Origin,
  { origins, request, random }: Pick<PickOptions, 'origins' | 'request' | 'random'>,
  pay: () => boolean,
): Picked | null {
  const { model: publicId, promptTokensEstimate } = request;
  const usable = origins.filter(
    (origin) =>
      origin !== first && fits(origin, request) && mayHedge(origin, origin.model(publicId), promptTokensEstimate),
  );
  const origin = chooseOrigin(usable, request.affinityKey, random);
  const model = origin?.model(publicId);
  if (origin === undefined || model === undefined || !pay()) {
    return null;
  }
  const lease = origin.slots.acquireNow();
  return lease === null ? null : { origin, model, lease, report: origin.breaker.begin() };
}

/**
 * Of those that could take the request the best: with enough context by the estimate, untried rather than tried, with a
 * free slot rather than without.
 */
function choose({ origins, request, tried, random }: PickOptions): Origin | undefined {
  const { promptTokensEstimate: promptTokens, priority, affinityKey } = request;
  const fitting = origins.filter((origin) => fits(origin, request) && origin.waitMs === 0);
  const roomy = preferring(
    fitting,
    (origin) => promptTokens <= (origin.model(request.model)?.contextLength ?? Number.POSITIVE_INFINITY),
  );
  const usable = preferring(roomy, (origin) => !tried.has(origin));
  const open = usable.filter((origin) => origin.slots.hasRoomFor(priority, promptTokens));
  return chooseOrigin(
    preferring(open, (origin) => origin.slots.hasFreeSlot),
    affinityKey,
    random,
  );
}

/** Those with the property, or all where none has it. */
function preferring(origins: readonly Origin[], has: (origin: Origin) => boolean): readonly Origin[] {
  const having = origins.filter(has);
  return having.length > 0 ? having : origins;
}

function fits(origin: Origin, { model: publicId, needs }: OriginRequest): boolean {
  const model = origin.model(publicId);
  return model !== undefined && missingCapability(model, needs) === null;
}

export function canServe(
  origins: readonly Origin[],
  publicId: string,
  needs: ReadonlySet<Capability>,
  numTokensAtLeast: number,
): CanServe {
  const having = origins.flatMap((origin) => {
    const model = origin.model(publicId);
    return model === undefined ? [] : [{ origin, model }];
  });
  if (having.length === 0) {
    return { ok: false, reason: 'not_configured' };
  }
  const capable = having.filter(({ model }) => missingCapability(model, needs) === null);
  if (capable.length === 0) {
    const lacking = having.map(({ model }) => missingCapability(model, needs)).filter((need) => need !== null);
    const nobodyHas = lacking.find((need) => having.every(({ model }) => !model.capabilities.includes(need)));
    return { ok: false, reason: 'capability', missing: (nobodyHas ?? lacking[0]) as Capability };
  }
  const lengths = capable.map(({ model }) => model.contextLength ?? Number.POSITIVE_INFINITY);
  const longest = Math.max(...lengths);
  if (numTokensAtLeast > longest) {
    return { ok: false, reason: 'context_length', contextLength: longest };
  }
  const longEnough = capable
    .filter((_, index) => (lengths[index] ?? 0) >= numTokensAtLeast)
    .map(({ origin }) => origin);
  const up = longEnough.filter((origin) => origin.waitMs === 0);
  if (up.length === 0) {
    const reason = longEnough.some((origin) => origin.waitMs === origin.busyMs) ? 'overloaded' : 'unavailable';
    return { ok: false, reason, retryAfterMs: clampRetryAfter(Math.min(...longEnough.map((origin) => origin.waitMs))) };
  }
  if (up.every((origin) => !origin.slots.hasRoomFor('high', numTokensAtLeast))) {
    return { ok: false, reason: 'overloaded', retryAfterMs: retryAfterMsOf(up) };
  }
  return { ok: true };
}

export function configuredModels(origins: readonly Origin[]): OriginModel[] {
  const ids = new Set(origins.flatMap((origin) => origin.config.models.map((model) => model.public)));
  return [...ids].map((id) => {
    const models = origins.map((origin) => origin.model(id)).filter((model) => model !== undefined);
    const lengths = models.map((model) => model.contextLength ?? null);
    return {
      id,
      capabilities: new Set(models.flatMap((model) => model.capabilities)),
      contextLength: lengths.includes(null) ? null : Math.max(...(lengths as number[])),
    };
  });
}

function errorOf(answer: Extract<CanServe, { ok: false }>, publicId: string): OriginError {
  if (answer.reason === 'not_configured') {
    return new OriginError('not_configured', `No origin serves '${publicId}': add one to the variable ORIGINS.`);
  }
  if (answer.reason === 'capability') {
    return new OriginError('capability', `No origin that serves '${publicId}' has '${answer.missing}'.`);
  }
  if (answer.reason === 'context_length') {
    const message = `The request is longer than the ${answer.contextLength} tokens that '${publicId}' takes.`;
    return new OriginError('rejected', message);
  }
  const { retryAfterMs } = answer;
  return answer.reason === 'overloaded'
    ? overloaded(publicId, retryAfterMs)
    : new OriginError('unavailable', `The origins of '${publicId}' are failing; try again shortly.`, { retryAfterMs });
}

function overloaded(publicId: string, retryAfterMs: number): OriginError {
  return new OriginError('overloaded', `The origins of '${publicId}' are full; try again later.`, { retryAfterMs });
}

function retryAfterMsOf(origins: readonly Origin[]): number {
  return clampRetryAfter(Math.min(...origins.map((origin) => origin.slots.retryAfterMs)));
}

function clampRetryAfter(retryAfterMs: number): number {
  return Math.min(RETRY_AFTER_MS_MAX, Math.max(1_000, Math.ceil(retryAfterMs)));
}
