/** `GET /v1/models` and `GET /v1/models/{id}`: OpenAI's fields, and what else one wants to know before choosing a model. */
import type { OriginBackend } from '../../origin/origin-backend.ts';
import type { Capability } from '../../routing/capabilities.ts';
import {
  isRingEntry,
  ringCapabilities,
  type Catalog,
  type CatalogEntry,
  type DefaultSampling,
} from '../../routing/catalog.ts';
import { PUBLIC_MODELS } from '../../routing/tiers.ts';
import { badRequest, type ApiError } from './errors.ts';

export interface ModelsDeps {
  readonly catalog: Catalog;
  readonly origins: OriginBackend;
}

export function modelList(deps: ModelsDeps) {
  return { object: 'list', data: deps.catalog.entries.map((entry) => toModel(entry, deps.origins)) };
}

/** @throws ApiError 404 for a name that is neither an id nor an alias. */
export function modelObject({ catalog, origins }: ModelsDeps, name: string) {
  const entry = catalog.find(name);
  if (entry === undefined) {
    throw unknownModel(catalog, name);
  }
  return toModel(entry, origins);
}

/** Names in errors come from the client; a long one is cut. */
const MODEL_NAME_LENGTH_MAX = 64;

export function unknownModel(catalog: Catalog, name: string): ApiError {
  const known = catalog.entries.map((entry) => `'${entry.id}'`).join(', ');
  return badRequest(
    `The model '${name.slice(0, MODEL_NAME_LENGTH_MAX).toWellFormed()}' does not exist here. Use one of: ${known}.`,
    'model',
    'model_not_found',
    404,
  );
}

function toModel(entry: CatalogEntry, origins: OriginBackend) {
  return {
    id: entry.id,
    object: 'model',
    created: entry.created,
    owned_by: 'lamina',
    tier: entry.tier,
    aliases: entry.aliases,
    backend: entry.backend.type,
    ...offerOf(entry, origins),
    price: { currency: 'CNY', per_1000_tokens: PUBLIC_MODELS[entry.tier].cnyPer1000Tokens },
  };
}

/** What the model does where a request does not say, in the names of a request's fields. */
function wireSampling({ temperature = 1, topP = 1, topK = 0, minP = 0, repetitionPenalty = 1 }: DefaultSampling) {
  return { temperature, top_p: topP, top_k: topK, min_p: minP, repetition_penalty: repetitionPenalty };
}

/** `available` says whether a request would be taken now; a ring wakes when it is asked, so it always is. */
function offerOf(entry: CatalogEntry, origins: OriginBackend) {
  if (isRingEntry(entry)) {
    return {
      available: true,
      context_length: entry.contextLengthMax ?? null,
      capabilities: [...ringCapabilities(entry)],
      default_sampling: wireSampling(entry.backend.defaultSampling),
    };
  }
  const model = origins.models().find(({ id }) => id === entry.id);
  return {
    available: origins.canServe(entry.id, new Set<Capability>(), 0).ok,
    context_length: model?.contextLength ?? null,
    capabilities: [...(model?.capabilities ?? [])],
  };
}
