/**
 * `/v1/prefixes`: beginnings of prompts that are computed before anybody asks with them, and kept: a system prompt, the
 * knowledge of a bot, a set of labels.
 */
import type { Context } from 'hono';
import { sha256Hex } from '../../auth/digest.ts';
import type { GatewayEnv } from '../../gateway.ts';
import { RequestMeter } from '../../metering/request-meter.ts';
import { isRingEntry, type RingEntry } from '../../routing/catalog.ts';
import type { Prefix, PrefixInfo } from '../../prefixes/prefix.ts';
import { releasePages, warmPages, type PrefixPagesDeps } from '../../prefixes/prefix-pages.ts';
import { ApiError, badRequest, toApiError } from './errors.ts';
import type { GenerationRouteDeps } from './generation-run.ts';
import { unknownModel } from './models.ts';
import { parsePrefixRequest, prefixTokens, type PrefixRequest } from './prefix-request.ts';
import { readBody } from './request-body.ts';
import { refuseKey } from './run-route.ts';

export async function postPrefix(context: Context<GatewayEnv>, deps: GenerationRouteDeps): Promise<Response> {
  const tenant = context.get('tenant');
  const requestId = context.get('requestId');
  const startedAtMs = deps.epochMs();
  const meter = new RequestMeter(deps.metering, deps.clock, { requestId, tenant, surface: 'prefixes', startedAtMs });
  try {
    refuseKey(context.req.raw);
    const request = parsePrefixRequest(await readBody(context.req.raw, deps.limits), deps.limits);
    const entry = findRing(request.model, deps);
    meter.requested({ model: entry.id, isStream: false, numChoices: 0 });
    const prefix = await toPrefix(request, entry, tenant, deps);
    const { numTokens } = prefix;
    const route = { servedModel: entry.id, tier: entry.tier, fallbackReason: null, promptTokens: numTokens };
    meter.routed({ ...route, isEstimated: false });
    meter.attempted(1);
    const { cachedTokens } = await warmPages(prefix, pagesDeps(entry, tenant, deps));
    meter.answeredBy(`ring/${entry.backend.model}`);
    meter.counted({ promptTokens: numTokens, completionTokens: 0, cachedTokens, reasoningTokens: 0 });
    const warmed = { ...prefix, cachedTokens };
    await deps.prefixes(tenant).put(warmed);
    meter.end('completed');
    return context.json(toWire(warmed));
  } catch (thrown) {
    const { status, code } = toApiError(thrown).details;
    meter.end(status < 500 ? 'refused' : 'failed', code ?? null);
    throw thrown;
  }
}

function pagesDeps(entry: RingEntry, tenant: string, deps: GenerationRouteDeps): PrefixPagesDeps {
  const { replicas, randomId, epochMs } = deps;
  return { replicas: replicas(entry), tenant, randomId, epochMs };
}

/** @throws ApiError for a model that is not there, or does not run in the platform. */
function findRing(name: string, { catalog }: GenerationRouteDeps): RingEntry {
  const entry = catalog.find(name);
  if (entry === undefined) {
    throw unknownModel(catalog, name);
  }
  if (!isRingEntry(entry)) {
    const message = `The model '${entry.id}' runs on origins, whose caches are their own. Prefixes need a model that runs here.`;
    throw badRequest(message, 'model', 'unsupported_model');
  }
  return entry;
}

/** @throws ApiError when the tokens cannot be a prefix, or the tenant has too many. */
async function toPrefix(
  request: PrefixRequest,
  entry: RingEntry,
  tenant: string,
  deps: GenerationRouteDeps,
): Promise<Prefix> {
  const model = { entry, text: await deps.textModel(entry.backend.assetsPath) };
  const tokens = prefixTokens(request, model);
  const promptCacheKey = request.prompt_cache_key ?? null;
  const digest = await sha256Hex(JSON.stringify([entry.id, promptCacheKey, tokens]));
  const { prefixesMax } = deps.limits;
  const id = await deps.prefixes(tenant).reserve(digest, `prefix-${deps.randomId()}`, prefixesMax);
  if (id === null) {
    throw new ApiError({
      status: 429,
      type: 'rate_limit_error',
      code: 'too_many_prefixes',
      message: `At most ${prefixesMax} prefixes are kept. Delete one that is not needed.`,
      isFinal: true,
    });
  }
  const createdMs = deps.epochMs();
  const expiresMs = createdMs + request.ttl * 1000;
  const numTokens = tokens.length;
  return { id, digest, model: entry.id, tokens, numTokens, cachedTokens: 0, createdMs, expiresMs, promptCacheKey };
}

export async function listPrefixes(context: Context<GatewayEnv>, deps: GenerationRouteDeps): Promise<Response> {
  const prefixes = await deps.prefixes(context.get('tenant')).list();
  return context.json({ object: 'list', data: prefixes.map(toWire) });
}

export async function getPrefix(context: Context<GatewayEnv>, deps: GenerationRouteDeps): Promise<Response> {
  const id = readId(context);
  const prefix = await deps.prefixes(context.get('tenant')).find(id);
  if (prefix === null) {
    throw unknownPrefix(id);
  }
  return context.json(toWire(prefix));
}

export async function deletePrefix(context: Context<GatewayEnv>, deps: GenerationRouteDeps): Promise<Response> {
  const id = readId(context);
  const tenant = context.get('tenant');
  const removed = await deps.prefixes(tenant).remove(id);
  if (removed === null) {
    throw unknownPrefix(id);
  }
  await releasePages(removed, pagesDeps(findRing(removed.prefix.model, deps), tenant, deps));
  return context.json({ id, object: 'prefix', deleted: true });
}

const PREFIX_ID = /^prefix-[0-9a-zA-Z]{1,64}$/;

/** Ids in errors come from the client; a long one is cut. */
const ID_LENGTH_MAX = 80;

function readId(context: Context<GatewayEnv>): string {
  const id = context.req.param('id') ?? '';
  if (!PREFIX_ID.test(id)) {
    throw unknownPrefix(id);
  }
  return id;
}

function unknownPrefix(id: string): ApiError {
  const message = `There is no prefix '${id.slice(0, ID_LENGTH_MAX).toWellFormed()}'. Its time may be over.`;
  return badRequest(message, 'id', 'prefix_not_found', 404);
}

function toWire({ id, model, numTokens, cachedTokens, createdMs, expiresMs, promptCacheKey }: PrefixInfo) {
  return {
    id,
    object: 'prefix',
    model,
    num_tokens: numTokens,
    cached_tokens: cachedTokens,
    created: Math.floor(createdMs / 1000),
    expires_at: Math.floor(expiresMs / 1000),
    prompt_cache_key: promptCacheKey,
  };
}
