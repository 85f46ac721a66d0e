/**
 * What operators may do: look at the replicas, and drain one before it is deployed anew. Under `/v1/admin`, with keys of
 * their own (`ADMIN_KEYS`): a client's key opens nothing here, an operator's key generates nothing.
 */
import { Hono, type Context } from 'hono';
import type { ReplicaHead } from '../../../shards/client/replica-head.ts';
import type { Replica } from '../../../shards/client/replica-set.ts';
import type { EngineStats } from '../../../shards/engine/protocol.ts';
import { createKeyring, LOCAL_ADMIN_KEY } from '../../auth/keyring.ts';
import type { RouteDeps } from '../../gateway.ts';
import { isRingEntry, type RingEntry } from '../../routing/catalog.ts';
import { ApiError, badRequest } from '../openai/errors.ts';

type AdminDeps = Pick<RouteDeps, 'environment' | 'adminKeys' | 'catalog' | 'replicas' | 'reportError'>;

/** A replica as operators see it. `stats` is null when it does not answer. */
interface ReplicaObject {
  readonly object: 'replica';
  readonly model: string;
  readonly index: number;
  readonly status: 'serving' | 'draining' | 'failing';
  readonly num_running: number | null;
  readonly num_waiting: number | null;
  readonly stats: EngineStats | null;
}

interface ReplicaOfModel {
  readonly entry: RingEntry;
  readonly replica: Replica<ReplicaHead>;
}

/** Digits of an index: more replicas than have these there are not. */
const INDEX_PATTERN = /^\d{1,3}$/;

export function adminRoutes(deps: AdminDeps): Hono {
  const app = new Hono();
  const keyring = createKeyring(deps.environment, deps.adminKeys, LOCAL_ADMIN_KEY);
  app.use(async (context, next) => {
    const authenticated = await keyring.authenticate(context.req.header('authorization') ?? null);
    if (!authenticated.ok) {
      const message = "This needs an operator's key (secret ADMIN_KEYS) in the header 'Authorization: Bearer <key>'.";
      throw badRequest(message, null, `${authenticated.error.reason}_admin_key`, 401);
    }
    await next();
  });
  app.get('/replicas', async (context) => {
    const all = deps.catalog.entries.filter(isRingEntry).flatMap((entry) => replicasOf(entry, deps));
    return context.json({ object: 'list', data: await Promise.all(all.map((one) => describe(one, deps))) });
  });
  app.get('/replicas/:model/:index', async (context) => context.json(await describe(find(context, deps), deps)));
  app.post('/replicas/:model/:index/drain', (context) => change(context, deps, 'drain'));
  app.post('/replicas/:model/:index/resume', (context) => change(context, deps, 'resume'));
  refuseOtherMethods(app);
  return app;
}

async function change(context: Context, deps: AdminDeps, action: 'drain' | 'resume'): Promise<Response> {
  const found = find(context, deps);
  const { entry, replica } = found;
  try {
    await (action === 'drain' ? replica.head.drain() : replica.head.resume());
  } catch (thrown) {
    deps.reportError(`${action} ${entry.id} replica ${replica.index}`, thrown);
    throw new ApiError({
      status: 503,
      type: 'server_error',
      code: 'replica_failing',
      message: `Replica ${replica.index} of '${entry.id}' does not answer, so it could not be told to ${action}.`,
    });
  }
  if (action === 'drain') {
    // This gateway need not be refused first.
    replica.setBack('draining');
  } else {
    replica.clearSetBack();
  }
  return context.json(await describe(found, deps));
}

function replicasOf(entry: RingEntry, deps: AdminDeps): ReplicaOfModel[] {
  return deps.replicas(entry).replicas.map((replica) => ({ entry, replica }));
}

/** @throws ApiError 404 for a model without rings, or an index that it does not have. */
function find(context: Context, deps: AdminDeps): ReplicaOfModel {
  const model = context.req.param('model') ?? '';
  const index = context.req.param('index') ?? '';
  const entry = deps.catalog.find(model);
  const replicas = entry !== undefined && isRingEntry(entry) ? replicasOf(entry, deps) : [];
  const found = INDEX_PATTERN.test(index) ? replicas[Number(index)] : undefined;
  if (found === undefined) {
    const message = 'There is no such replica. GET /v1/admin/replicas lists all of them.';
    throw badRequest(message, null, 'replica_not_found', 404);
  }
  return found;
}

async function describe({ entry, replica }: ReplicaOfModel, deps: AdminDeps): Promise<ReplicaObject> {
  const { index, head } = replica;
  const named = { object: 'replica', model: entry.id, index } as const;
  try {
    const stats = await head.stats();
    const status = stats.isDraining ? 'draining' : 'serving';
    return { ...named, status, num_running: stats.numRunning, num_waiting: stats.numWaiting, stats };
  } catch (thrown) {
    deps.reportError(`stats ${entry.id} replica ${index}`, thrown);
    return { ...named, status: 'failing', num_running: null, num_waiting: null, stats: null };
  }
}

/** After the routes: a known path that gets here was called with another method. */
function refuseOtherMethods(app: Hono): void {
  const allowed = {
    '/replicas': 'GET',
    '/replicas/:model/:index': 'GET',
    '/replicas/:model/:index/drain': 'POST',
    '/replicas/:model/:index/resume': 'POST',
  };
  for (const [path, method] of Object.entries(allowed)) {
    app.all(path, (context) => {
      const message = `${context.req.path} takes ${method}, not ${context.req.method}.`;
      const response = badRequest(message, null, 'method_not_allowed', 405).toResponse();
      response.headers.set('allow', method);
      return response;
    });
  }
  app.all('*', (context) => {
    throw badRequest(`There is nothing at ${context.req.method} ${context.req.path}.`, null, 'unknown_url', 404);
  });
}
