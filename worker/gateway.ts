/**
 * The gateway as a hono application. Everything it touches outside itself is passed in, so it runs in workerd and, for
 * tests, in Node.
 */
import { Hono, type Context } from 'hono';
import { cors } from 'hono/cors';
import { DEFAULT_RESUME_LIMITS, type ResumeLimits } from '../shards/client/recovery.ts';
import type { ReplicaHead } from '../shards/client/replica-head.ts';
import { ReplicaSet } from '../shards/client/replica-set.ts';
import type { FeatureHead } from '../shards/features/feature-protocol.ts';
import type { Clock } from '../shards/platform/clock.ts';
import { adminRoutes } from './api/admin/admin-routes.ts';
import { answerClassify } from './api/classify/classify-route.ts';
import { answerModerations, answerPooledClassify } from './api/classify/thin-surfaces.ts';
import { addClassifierRoutes, CLASSIFIER_METHODS } from './api/classify/routes.ts';
import { EMBEDDINGS_SURFACE, IMAGES_SURFACE, RERANK_SURFACE } from './api/openai/call-requests.ts';
import { answerCall } from './api/openai/call-route.ts';
import { ApiError, badRequest, toApiError } from './api/openai/errors.ts';
import { CHAT_SURFACE, COMPLETION_SURFACE } from './api/openai/generation-job.ts';
import { answerGeneration } from './api/openai/generation-route.ts';
import type { GenerationRouteDeps } from './api/openai/generation-run.ts';
import { modelList, modelObject } from './api/openai/models.ts';
import { deletePrefix, getPrefix, listPrefixes, postPrefix } from './api/openai/prefix-route.ts';
import { cancelRun, deleteRun, getRun } from './api/openai/run-route.ts';
import { deleteTenant } from './api/openai/tenant-route.ts';
import { createKeyring, type Environment, type Tenant } from './auth/keyring.ts';
import { isAllowedOrigin } from './auth/origins.ts';
import { DEFAULT_GATEWAY_LIMITS, type GatewayLimits } from './limits.ts';
import type { EmbeddingProjection } from './embeddings/projection.ts';
import type { OriginBackend } from './origin/origin-backend.ts';
import { RequestCounters } from './metering/request-counters.ts';
import type { MeteringSink } from './metering/served-record.ts';
import type { ClassifierDirectory } from './classify/classifier.ts';
import type { ClassifyDeps } from './classify/classify-texts.ts';
import type { ClassifyLimits } from './classify/limits.ts';
import { createFeatureSource } from './classify/feature-source.ts';
import { ModelCache } from './classify/model-cache.ts';
import type { Moderation } from './classify/moderation.ts';
import type { ClassifyRequestLimits } from './classify/request-limits.ts';
import { PriorCache } from './classify/zero-shot/prior-cache.ts';
import { recipeName } from './classify/text-features.ts';
import { isRingEntry, type Catalog, type RingEntry } from './routing/catalog.ts';
import { ringHealth } from './routing/ring-health.ts';
import type { PrefixShardClient } from './prefixes/prefix.ts';
import type { RunShardClient } from './runs/run.ts';
import { tenantData } from './tenant-data.ts';
import { PLAYGROUND_PATHS } from './playground/files.ts';
import type { TextModel } from './tokenizer/text-model.ts';

export interface GatewayDeps {
  readonly environment: Environment;
  readonly apiKeys: readonly string[];
  /** Keys of operators, for everything under `/v1/admin`. */
  readonly adminKeys: readonly string[];
  /** Web origins whose pages may call the API, beside those of this machine in the local environment. */
  readonly corsOrigins: readonly string[];
  readonly catalog: Catalog;
  /** Head shards of the model's replicas, in their order. */
  readonly heads: (entry: RingEntry) => readonly ReplicaHead[];
  /** The same heads, for features. */
  readonly featureHeads: (entry: RingEntry) => readonly FeatureHead[];
  readonly origins: OriginBackend;
  readonly textModel: (assetsPath: string) => Promise<TextModel>;
  /** The embedding projection of a model, by its file among the assets. */
  readonly projection: (path: string, model: string) => Promise<EmbeddingProjection>;
  /** Answers a GET for a file of the playground. */
  readonly servePage: (request: Request) => Promise<Response>;
  readonly clock: Clock;
  /** Milliseconds since the epoch. */
  readonly epochMs: () => number;
  /** A new id of letters and digits. */
  readonly randomId: () => string;
  /** A uniform unsigned 32-bit integer. */
  readonly randomSeed: () => number;
  readonly metering: MeteringSink;
  /** The objects that keep runs; those of a tenant are numbered from 0 to `RUN_SHARDS_PER_TENANT - 1`. */
  readonly runs: (tenant: string, shardIndex: number) => RunShardClient;
  /** The object that keeps the prefixes of a tenant. */
  readonly prefixes: (tenant: string) => PrefixShardClient;
  /** The objects that have the tenants' classifiers. */
  readonly classifiers: ClassifierDirectory;
  /** Told about failures that are not the client's, for the operator. */
  readonly reportError: (requestId: string, thrown: unknown) => void;
  readonly limits?: GatewayLimits;
  readonly resumeLimits?: ResumeLimits;
  /** The classifier of `/v1/moderations`; null where the operator names none. */
  readonly moderation: Moderation | null;
  readonly classifyLimits?: ClassifyLimits;
  readonly classifyRequestLimits?: ClassifyRequestLimits;
}

/** The replicas of a model, with what this gateway knows of them. */
export type ReplicasOf = (entry: RingEntry) => ReplicaSet<ReplicaHead>;

export interface GatewayEnv {
  Variables: { requestId: string; tenant: Tenant };
}

/** Request ids of clients are taken over when they are harmless in headers and logs. */
const CLIENT_REQUEST_ID = /^[\w.-]{1,128}$/;

/** What routes work with, and objects that do their work outside of a request. */
export interface RouteDeps extends GenerationRouteDeps {
  readonly metering: RequestCounters;
  readonly classify: ClassifyDeps;
  /** What this isolate knows of labels that came with requests. */
  readonly labelPriors: PriorCache;
}

export function createRouteDeps(deps: GatewayDeps): RouteDeps {
  return {
    ...deps,
    metering: new RequestCounters(deps.metering),
    limits: deps.limits ?? DEFAULT_GATEWAY_LIMITS,
    resumeLimits: deps.resumeLimits ?? DEFAULT_RESUME_LIMITS,
    replicas: replicasByModel(deps),
    classify: createClassifyDeps(deps),
    labelPriors: new PriorCache(),
  };
}

export function createGateway(deps: GatewayDeps, routeDeps = createRouteDeps(deps)): Hono<GatewayEnv> {
  const app = new Hono<GatewayEnv>();

  app.use(async (context, next) => {
    const offered = context.req.header('x-request-id');
    const requestId = offered !== undefined && CLIENT_REQUEST_ID.test(offered) ? offered : deps.randomId();
    context.set('requestId', requestId);
    await next();
    context.res.headers.set('x-request-id', requestId);
  });
  app.use(
    cors({
      origin: (origin) => (isAllowedOrigin(origin, deps.environment, deps.corsOrigins) ? origin : null),
      exposeHeaders: ['x-request-id', 'retry-after', 'x-lamina-served-by', 'x-lamina-fallback'],
      allowMethods: ['GET', 'POST', 'DELETE'],
      maxAge: 600,
    }),
  );
  app.onError((thrown, context) => {
    const error = toApiError(thrown);
    if (!(thrown instanceof ApiError)) {
      deps.reportError(context.get('requestId'), thrown);
    }
    return error.toResponse();
  });
  app.notFound((context) => {
    throw badRequest(`There is nothing at ${context.req.method} ${context.req.path}.`, null, 'unknown_url', 404);
  });

  addPublicRoutes(app, routeDeps);
  // Before the check of API keys: an operator's key is none.
  app.route('/v1/admin', adminRoutes(routeDeps));
  app.use('/v1/*', authenticate(deps));
  app.use('/metrics', authenticate(deps));
  app.post('/classify', authenticate(deps));
  app.get('/metrics', (context) =>
    context.text(routeDeps.metering.render(deps.origins.health()), 200, METRICS_HEADERS),
  );
  app.get('/v1/models', (context) => context.json(modelList(deps)));
  app.get('/v1/models/:id{.+}', (context) => context.json(modelObject(deps, context.req.param('id'))));
  app.post('/v1/chat/completions', (context) => answerGeneration(context, CHAT_SURFACE, routeDeps));
  app.post('/v1/completions', (context) => answerGeneration(context, COMPLETION_SURFACE, routeDeps));
  app.post('/v1/embeddings', (context) => answerCall(context, EMBEDDINGS_SURFACE, routeDeps));
  app.post('/v1/rerank', (context) => answerCall(context, RERANK_SURFACE, routeDeps));
  app.post('/v1/images/generations', (context) => answerCall(context, IMAGES_SURFACE, routeDeps));
  app.get('/v1/responses/:id', (context) => getRun(context, routeDeps));
  app.delete('/v1/responses/:id', (context) => deleteRun(context, routeDeps));
  app.post('/v1/responses/:id/cancel', (context) => cancelRun(context, routeDeps));
  app.post('/v1/prefixes', (context) => postPrefix(context, routeDeps));
  app.get('/v1/prefixes', (context) => listPrefixes(context, routeDeps));
  app.get('/v1/prefixes/:id', (context) => getPrefix(context, routeDeps));
  app.delete('/v1/prefixes/:id', (context) => deletePrefix(context, routeDeps));
  app.get('/v1/tenant', (context) => context.json({ id: context.get('tenant'), object: 'tenant' }));
  app.delete('/v1/tenant', (context) => deleteTenant(context, { ...deps, data: tenantData(deps) }));
  app.post('/v1/classify', (context) => answerClassify(context, routeDeps));
  app.post('/v1/moderations', (context) => answerModerations(context, routeDeps));
  app.post('/classify', (context) => answerPooledClassify(context, routeDeps));
  addClassifierRoutes(app, {
    ...deps,
    models: routeDeps.classify.models,
    featureRecipe: () => recipeName(routeDeps.classify.features),
  });
  refuseOtherMethods(app);
  return app;
}

/** Features come from the first model of the catalog that runs in the platform. */
function createClassifyDeps(deps: GatewayDeps): ClassifyDeps {
  const features = createFeatureSource(deps.catalog, deps);
  return { models: new ModelCache(deps.classifiers, deps.clock), features };
}

/** What this isolate knows of the replicas lasts as long as the isolate: one set for each model. */
function replicasByModel(deps: GatewayDeps): ReplicasOf {
  const sets = new Map(
    deps.catalog.entries
      .filter(isRingEntry)
      .map((entry) => [entry.id, new ReplicaSet(deps.heads(entry), deps.clock)] as const),
  );
  return ({ id }) => {
    const set = sets.get(id);
    if (set === undefined) {
      throw new Error(`the model ${id} is not in the catalog`);
    }
    return set;
  };
}

/** The text format that every version of Prometheus reads. */
const METRICS_HEADERS = { 'content-type': 'text/plain; version=0.0.4; charset=utf-8' };

/** Everything under `/v1` needs a key, and so do the counters. */
function authenticate(deps: GatewayDeps) {
  const keyring = createKeyring(deps.environment, deps.apiKeys);
  return async (context: Context<GatewayEnv>, next: () => Promise<void>): Promise<void> => {
    const authenticated = await keyring.authenticate(context.req.header('authorization') ?? null);
    if (!authenticated.ok) {
      throw authenticated.error.reason === 'missing'
        ? badRequest(
            "No API key was given. Send it in the header 'Authorization: Bearer <key>'.",
            null,
            'missing_api_key',
            401,
          )
        : badRequest('The API key is not known here. Check it for typing errors.', null, 'invalid_api_key', 401);
    }
    context.set('tenant', authenticated.value);
    await next();
  };
}

/** The page loads nothing from elsewhere and may not be framed. */
const PAGE_HEADERS = {
  'content-security-policy':
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; " +
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
  'x-content-type-options': 'nosniff',
  'referrer-policy': 'no-referrer',
};

function addPublicRoutes(app: Hono<GatewayEnv>, deps: GatewayDeps & { readonly replicas: ReplicasOf }): void {
  for (const path of PLAYGROUND_PATHS) {
    app.get(path, async (context) => {
      const page = await deps.servePage(context.req.raw);
      const response = new Response(page.body, page);
      for (const [name, value] of Object.entries(PAGE_HEADERS)) {
        response.headers.set(name, value);
      }
      return response;
    });
  }
  app.use('/healthz', async (context, next) => {
    // Looking at the rings wakes them, which costs: that is for those who have a key.
    await (context.req.query('deep') === undefined ? next() : authenticate(deps)(context, next));
  });
  app.get('/healthz', async (context) => {
    const models = deps.catalog.entries.map((entry) => entry.id);
    if (context.req.query('deep') === undefined) {
      return context.json({ status: 'ok', models });
    }
    const rings = await Promise.all(
      deps.catalog.entries
        .filter(isRingEntry)
        .map((entry) => ringHealth(entry.id, deps.replicas(entry), deps.reportError)),
    );
    const isOk = rings.every((ring) => ring.status !== 'failing');
    // Origins do not count here: a cluster that is down is no reason to take the gateway out of service.
    const origins = deps.origins.health();
    return context.json({ status: isOk ? 'ok' : 'failing', models, rings, origins }, isOk ? 200 : 503);
  });
}

/** After the routes: a known path that gets here was called with another method. */
function refuseOtherMethods(app: Hono<GatewayEnv>): void {
  const allowed: Readonly<Record<string, string>> = {
    '/healthz': 'GET',
    '/metrics': 'GET',
    '/v1/models': 'GET',
    '/v1/models/:id{.+}': 'GET',
    '/v1/chat/completions': 'POST',
    '/v1/completions': 'POST',
    '/v1/classify': 'POST',
    '/v1/moderations': 'POST',
    '/classify': 'POST',
    '/v1/embeddings': 'POST',
    '/v1/rerank': 'POST',
    '/v1/images/generations': 'POST',
    '/v1/responses/:id': 'GET, DELETE',
    '/v1/responses/:id/cancel': 'POST',
    '/v1/prefixes': 'GET, POST',
    '/v1/prefixes/:id': 'GET, DELETE',
    '/v1/tenant': 'GET, DELETE',
    ...CLASSIFIER_METHODS,
    ...Object.fromEntries(PLAYGROUND_PATHS.map((path) => [path, 'GET'])),
  };
  for (const [path, method] of Object.entries(allowed)) {
    app.all(path, (context) => {
      const message = `${context.req.path} takes ${method}, not ${context.req.method}.`;
      const response = badRequest(message, null, 'method_not_allowed', 405).toResponse();
      response.headers.set('allow', method);
      return response;
    });
  }
}
