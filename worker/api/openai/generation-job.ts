/** From the body of a request to everything that is known of it before a backend is chosen. */
import type { GenerationJournal } from '../../generation/journal.ts';
import type { RequestMeter } from '../../metering/request-meter.ts';
import { isRingEntry, type Catalog, type CatalogEntry } from '../../routing/catalog.ts';
import { planChat } from './chat-plan.ts';
import { planCompletion } from './completion-plan.ts';
import type { GenerationJob, GenerationRouteDeps, GenerationSurface } from './generation-run.ts';
import { unknownModel } from './models.ts';
import { parseOriginChat } from './origin-chat-request.ts';
import { parseOriginCompletion } from './origin-completion-request.ts';
import { CHAT_RELAY, COMPLETION_RELAY } from './relay-wire.ts';
import { takeRouting, type RoutedBody } from './request-body.ts';

export const CHAT_SURFACE: GenerationSurface = {
  name: 'chat.completions',
  operation: 'chat',
  idPrefix: 'chatcmpl',
  planRing: planChat,
  parseOrigin: parseOriginChat,
  relay: CHAT_RELAY,
};

export const COMPLETION_SURFACE: GenerationSurface = {
  name: 'completions',
  operation: 'completion',
  idPrefix: 'cmpl',
  planRing: planCompletion,
  parseOrigin: parseOriginCompletion,
  relay: COMPLETION_RELAY,
};

export const GENERATION_SURFACES: Readonly<Record<GenerationSurface['name'], GenerationSurface>> = {
  'chat.completions': CHAT_SURFACE,
  completions: COMPLETION_SURFACE,
};

/** What a request may fall back to when it does not say: nothing, until keys have policies of their own. */
const KEY_FALLBACK_POLICY = 'none';

/** Who asks, and what makes the answer what it is beside the body. */
export interface JobOrigin {
  /** Part of the ids of the answer and of its sequences. */
  readonly answerId: string;
  readonly tenant: string;
  /** Milliseconds since the epoch. */
  readonly createdMs: number;
  /** Seeds of requests that give none. */
  readonly randomSeed: () => number;
  readonly meter: RequestMeter;
  readonly journal: GenerationJournal | null;
  readonly boundTo: CatalogEntry | null;
}

/**
 * @param body parsed JSON, without fields that say how the answer is kept.
 * @throws ApiError for a model that is not there, and for a body that is wrong for every backend it may go to.
 */
export function createJob(
  surface: GenerationSurface,
  body: unknown,
  origin: JobOrigin,
  deps: GenerationRouteDeps,
): GenerationJob {
  const { meter, journal, boundTo } = origin;
  const context = {
    // The client's request id may repeat; ids of answers and of sequences must not.
    requestId: origin.answerId,
    tenant: origin.tenant,
    limits: deps.limits,
    created: Math.floor(origin.createdMs / 1000),
    randomSeed: origin.randomSeed,
  };
  return { ...route(surface, takeRouting(body, KEY_FALLBACK_POLICY), deps), meter, journal, boundTo, context };
}

function route(
  surface: GenerationSurface,
  { body, model, policy }: RoutedBody,
  { catalog, limits }: GenerationRouteDeps,
): Pick<GenerationJob, 'surface' | 'body' | 'asked' | 'fallback' | 'originRequest'> {
  const asked = model === null ? undefined : catalog.find(model);
  const fallback = policy === 'none' ? undefined : entryOfTier(catalog, policy);
  // The ring's own schema refuses what the ring does not do; the origins' schema knows all of OpenAI's API.
  const isForRingAlone = asked !== undefined && [asked, fallback ?? asked].every(isRingEntry);
  const originRequest = isForRingAlone ? null : surface.parseOrigin(body, limits);
  if (asked === undefined) {
    throw unknownModel(catalog, model ?? '');
  }
  return { surface, body, asked, fallback, originRequest };
}

function entryOfTier(catalog: Catalog, tier: CatalogEntry['tier']): CatalogEntry | undefined {
  return catalog.entries.find((entry) => entry.tier === tier);
}
