/** Export and import: a classifier as a safetensors file, with its report as JSON in the metadata. */
import type { Hono } from 'hono';
import type { GatewayEnv } from '../../gateway.ts';
import type { DataReport } from '../../classify/classifier.ts';
import type { ClassifyLimits } from '../../classify/limits.ts';
import { decodeModelFile, encodeModelFile } from '../../classify/model-file.ts';
import type { ClassifierModel } from '../../../shards/classify/model.ts';
import type { TrainingReport } from '../../../shards/classify/report.ts';
import { badRequest, type ApiError } from '../openai/errors.ts';
import { failureError } from './failures.ts';
import {
  checkQuery,
  clientOf,
  makeClassifier,
  newClassifierId,
  readVersion,
  removeClassifier,
  type ClassifierContext,
  type ClassifierRouteDeps,
} from './classifier-access.ts';
import { classifierObject, reportObject } from './wire.ts';

const NO_DATA: DataReport = { numDuplicates: 0, numContradictions: 0, contradictions: [], singletons: [] };

export function addCopyRoutes(app: Hono<GatewayEnv>, deps: ClassifierRouteDeps, limits: ClassifyLimits): void {
  app.get('/v1/classifiers/:id/export', (context) => exportClassifier(context, deps));
  app.post('/v1/classifiers/import', (context) => importClassifier(context, deps, limits));
}

async function exportClassifier(context: ClassifierContext, deps: ClassifierRouteDeps): Promise<Response> {
  const { id, client } = clientOf(context, deps);
  const version = readVersion(context);
  const [served, report] = await Promise.all([client.model(version), client.report(version)]);
  if (!served.ok) {
    throw failureError(id, served.error);
  }
  if (!report.ok) {
    throw failureError(id, report.error);
  }
  const file = encodeModelFile(served.value.model, { report: reportObject(id, report.value) });
  return new Response(file, {
    headers: {
      'content-type': 'application/octet-stream',
      'content-disposition': `attachment; filename="${id}-v${served.value.version}.safetensors"`,
    },
  });
}

async function importClassifier(
  context: ClassifierContext,
  deps: ClassifierRouteDeps,
  limits: ClassifyLimits,
): Promise<Response> {
  checkQuery(context, ['name']);
  const decoded = decodeModelFile(await readBounded(context.req.raw, limits.importBytesMax));
  if (!decoded.ok) {
    throw badRequest(
      `The file is not a classifier: ${decoded.error}. Send one that GET /v1/classifiers/{id}/export gave.`,
      null,
      'invalid_file',
    );
  }
  const { model } = decoded.value;
  if (model.featureRecipe !== deps.featureRecipe()) {
    const message =
      `The classifier was trained on the features '${model.featureRecipe}'; this platform has '${deps.featureRecipe()}'. ` +
      'Train it again from its examples.';
    throw badRequest(message, null, 'other_features');
  }
  const id = newClassifierId(deps);
  const name = context.req.query('name') ?? id;
  if (name === '' || name.length > limits.nameLengthMax) {
    throw badRequest(
      `Invalid value for 'name': expected 1 to ${limits.nameLengthMax} characters.`,
      'name',
      'invalid_value',
    );
  }
  const tenant = context.get('tenant');
  const client = await makeClassifier(tenant, { id, name, kind: model.kind }, deps, limits);
  const imported = await client.importModel({ model, report: reportOfModel(model), data: NO_DATA });
  if (!imported.ok) {
    await removeClassifier(tenant, id, deps);
    throw failureError(id, imported.error);
  }
  return context.json(classifierObject(imported.value), 201);
}

/** Of an imported model nothing is known but the model: what its file says was measured elsewhere. */
function reportOfModel(model: ClassifierModel): TrainingReport {
  const { kind, labels, featureRecipe, means, outOfScopeThreshold } = model;
  return {
    kind,
    featureRecipe,
    featureSize: means.length,
    numExamples: 0,
    c: null,
    outOfScopeThreshold,
    labels: labels.map((label) => ({ label, numExamples: 0, precision: null, recall: null, f1: null })),
    validation: null,
  };
}

async function readBounded(request: Request, bytesMax: number): Promise<Uint8Array> {
  const pieces: Uint8Array[] = [];
  let numBytes = 0;
  for await (const piece of request.body ?? []) {
    numBytes += piece.byteLength;
    if (numBytes > bytesMax) {
      throw tooLarge(bytesMax);
    }
    pieces.push(piece);
  }
  const bytes = new Uint8Array(numBytes);
  let end = 0;
  for (const piece of pieces) {
    bytes.set(piece, end);
    end += piece.byteLength;
  }
  return bytes;
}

function tooLarge(bytesMax: number): ApiError {
  return badRequest(`The file is larger than ${bytesMax} bytes, as no classifier is.`, null, 'body_too_large', 413);
}
