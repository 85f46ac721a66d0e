/** `/v1/classifiers`: make, train, look at, and remove classifiers. */
import type { Hono } from 'hono';
import * as z from 'zod';
import type { GatewayEnv } from '../../gateway.ts';
import type { ClassifierClient, Example } from '../../classify/classifier.ts';
import { CLASSIFY_LIMITS, type ClassifyLimits } from '../../classify/limits.ts';
import type { ClassifierKind } from '../../../shards/classify/targets.ts';
import { readJsonBody } from '../http/body.ts';
import { badRequest } from '../openai/errors.ts';
import { bodyError } from '../openai/request-body.ts';
import { parseOrRefuse } from '../openai/schema.ts';
import {
  checkQuery,
  clientOf,
  findClassifier,
  makeClassifier,
  newClassifierId,
  readVersion,
  removeClassifier,
  type ClassifierContext,
  type ClassifierRouteDeps,
} from './classifier-access.ts';
import { addCopyRoutes } from './copy-routes.ts';
import { checkExample, type RawExample } from './examples.ts';
import { failureError } from './failures.ts';
import { progressStream } from './progress-stream.ts';
import { readUpload } from './upload.ts';
import { classifierObject, reportObject } from './wire.ts';

/** Methods of each path, for those that are called with another. */
export const CLASSIFIER_METHODS: Readonly<Record<string, string>> = {
  '/v1/classifiers': 'GET, POST',
  '/v1/classifiers/import': 'POST',
  '/v1/classifiers/:id': 'GET, DELETE',
  '/v1/classifiers/:id/report': 'GET',
  '/v1/classifiers/:id/examples': 'POST',
  '/v1/classifiers/:id/train': 'POST',
  '/v1/classifiers/:id/export': 'GET',
};

/** Of a body that says nothing. */
const EMPTY_BODY_BYTES_MAX = 1024;

export function addClassifierRoutes(app: Hono<GatewayEnv>, deps: ClassifierRouteDeps): void {
  const limits = deps.classifyLimits ?? CLASSIFY_LIMITS;
  addCopyRoutes(app, deps, limits);
  app.post('/v1/classifiers', (context) => createClassifier(context, deps, limits));
  app.get('/v1/classifiers', (context) => listClassifiers(context, deps, limits));
  app.get('/v1/classifiers/:id', async (context) => {
    const isStream = readStream(context);
    const { client, snapshot } = await findClassifier(context, deps);
    const tenant = context.get('tenant');
    const look = async () => {
      const seen = await client.snapshot();
      if (seen !== null) {
        deps.models.learn(tenant, seen);
      }
      return seen;
    };
    return isStream ? progressStream(look, deps.clock) : context.json(classifierObject(snapshot));
  });
  app.delete('/v1/classifiers/:id', async (context) => {
    checkQuery(context, []);
    const { client, id } = await findClassifier(context, deps);
    const tenant = context.get('tenant');
    // First: what the list names and is not there is worse than the other way round.
    await deps.classifiers.index(tenant).remove(id);
    await client.remove();
    deps.models.forget(tenant, id);
    return context.json({ id, object: 'classifier', deleted: true });
  });
  app.get('/v1/classifiers/:id/report', async (context) => {
    const { client, id } = clientOf(context, deps);
    const report = await client.report(readVersion(context));
    if (!report.ok) {
      throw failureError(id, report.error);
    }
    return context.json(reportObject(id, report.value));
  });
  app.post('/v1/classifiers/:id/examples', (context) => addExamples(context, deps, limits));
  app.post('/v1/classifiers/:id/train', async (context) => {
    checkQuery(context, []);
    await checkEmptyBody(context.req.raw);
    const { client, id } = clientOf(context, deps);
    const queued = await client.train();
    if (!queued.ok) {
      throw failureError(id, queued.error);
    }
    return context.json(classifierObject(queued.value), 202);
  });
}

/** A training has no options: one that is sent is refused, as everywhere. */
async function checkEmptyBody(request: Request): Promise<void> {
  if (request.headers.get('content-type') === null) {
    return;
  }
  const body = await readJsonBody(request, EMPTY_BODY_BYTES_MAX);
  if (!body.ok && body.error.reason === 'too_large') {
    throw bodyError(body.error);
  }
  parseOrRefuse(z.strictObject({}), body.ok ? body.value : {});
}

function readStream(context: ClassifierContext): boolean {
  checkQuery(context, ['stream']);
  const given = context.req.query('stream') ?? 'false';
  if (given !== 'true' && given !== 'false') {
    throw badRequest("Invalid value for 'stream': expected true or false.", 'stream', 'invalid_value');
  }
  return given === 'true';
}

async function createClassifier(
  context: ClassifierContext,
  deps: ClassifierRouteDeps,
  limits: ClassifyLimits,
): Promise<Response> {
  const upload = await readUpload(context.req.raw, null, limits);
  const id = newClassifierId(deps);
  const kind = upload.isMultiLabel ? 'multi' : 'single';
  const client = await makeClassifier(context.get('tenant'), { id, name: upload.name ?? id, kind }, deps, limits);
  try {
    const uploadId = deps.randomId();
    await sendExamples(id, client, uploadId, upload.examples, kind, limits);
    const committed = await client.commit({ uploadId, isTrained: true });
    if (!committed.ok) {
      throw failureError(id, committed.error);
    }
    return context.json(classifierObject(committed.value), 202);
  } catch (thrown) {
    await removeClassifier(context.get('tenant'), id, deps);
    throw thrown;
  }
}

/** Checks examples and sends them on in batches, holding one batch at a time. */
async function sendExamples(
  id: string,
  client: ClassifierClient,
  uploadId: string,
  examples: AsyncIterable<RawExample>,
  kind: ClassifierKind,
  limits: ClassifyLimits,
): Promise<void> {
  let batch: Example[] = [];
  let numChars = 0;
  const send = async (): Promise<void> => {
    const added = batch.length === 0 ? null : await client.addExamples(uploadId, batch);
    if (added?.ok === false) {
      throw failureError(id, added.error);
    }
    batch = [];
    numChars = 0;
  };
  for await (const raw of examples) {
    const example = checkExample(raw, kind, limits);
    batch.push(example);
    numChars += example.text.length;
    if (batch.length === limits.batchExamplesMax || numChars >= limits.batchCharsMax) {
      await send();
    }
  }
  await send();
}

async function addExamples(
  context: ClassifierContext,
  deps: ClassifierRouteDeps,
  limits: ClassifyLimits,
): Promise<Response> {
  const { id, client, snapshot } = await findClassifier(context, deps);
  const upload = await readUpload(context.req.raw, snapshot.kind, limits);
  const uploadId = deps.randomId();
  try {
    await sendExamples(id, client, uploadId, upload.examples, snapshot.kind, limits);
    const committed = await client.commit({ uploadId, isTrained: false });
    if (!committed.ok) {
      throw failureError(id, committed.error);
    }
    return context.json(classifierObject(committed.value));
  } catch (thrown) {
    await client.abandon(uploadId);
    throw thrown;
  }
}

async function listClassifiers(
  context: ClassifierContext,
  deps: ClassifierRouteDeps,
  { listPageMax }: ClassifyLimits,
): Promise<Response> {
  checkQuery(context, ['limit', 'after']);
  const given = context.req.query('limit') ?? String(listPageMax);
  const limit = Number(given);
  if (!/^\d{1,4}$/.test(given) || limit < 1 || limit > listPageMax) {
    throw badRequest(`Invalid value for 'limit': expected 1 to ${listPageMax}.`, 'limit', 'invalid_value');
  }
  const tenant = context.get('tenant');
  const after = context.req.query('after') ?? null;
  const page = await deps.classifiers.index(tenant).list(after, limit);
  if (page === null) {
    const message =
      "Invalid value for 'after': there is no such classifier any more. Read the list from its beginning.";
    throw badRequest(message, 'after', 'invalid_value');
  }
  const { ids, hasMore } = page;
  const snapshots = await Promise.all(ids.map((id) => deps.classifiers.classifier(tenant, id).snapshot()));
  const found = snapshots.filter((snapshot) => snapshot !== null);
  found.forEach((snapshot) => deps.models.learn(tenant, snapshot));
  const data = found.map(classifierObject);
  return context.json({ object: 'list', data, has_more: hasMore, last_id: ids.at(-1) ?? null });
}
