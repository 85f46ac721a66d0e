/** What routes of classifiers share: how they find one, make one, and remove one. */
import type { Context } from 'hono';
import * as z from 'zod';
import type { GatewayEnv } from '../../gateway.ts';
import type { ClassifierClient, ClassifierDirectory, ClassifierSnapshot } from '../../classify/classifier.ts';
import type { ClassifyLimits } from '../../classify/limits.ts';
import type { ModelCache } from '../../classify/model-cache.ts';
import type { Clock } from '../../../shards/platform/clock.ts';
import type { ClassifierKind } from '../../../shards/classify/targets.ts';
import { badRequest } from '../openai/errors.ts';
import { parseOrRefuse } from '../openai/schema.ts';
import { unknownClassifier } from './failures.ts';

export interface ClassifierRouteDeps {
  readonly classifiers: ClassifierDirectory;
  readonly models: ModelCache;
  readonly clock: Clock;
  /** Milliseconds since the epoch. */
  readonly epochMs: () => number;
  readonly randomId: () => string;
  /** What makes features comparable: see `recipeName`. */
  readonly featureRecipe: () => string;
  readonly classifyLimits?: ClassifyLimits;
}

export type ClassifierContext = Context<GatewayEnv>;

const ID = /^clf_[0-9A-Za-z]{1,64}$/;

export const newClassifierId = (deps: ClassifierRouteDeps): string => `clf_${deps.randomId()}`;

/** @throws ApiError 404 for what is no id: another tenant's object cannot be named. */
export function clientOf(context: ClassifierContext, deps: ClassifierRouteDeps) {
  const id = context.req.param('id') ?? '';
  if (!ID.test(id)) {
    throw unknownClassifier(id);
  }
  return { id, client: deps.classifiers.classifier(context.get('tenant'), id) };
}

/** @throws ApiError 404 when there is no such classifier. */
export async function findClassifier(
  context: ClassifierContext,
  deps: ClassifierRouteDeps,
): Promise<{ readonly id: string; readonly client: ClassifierClient; readonly snapshot: ClassifierSnapshot }> {
  const { id, client } = clientOf(context, deps);
  const snapshot = await client.snapshot();
  if (snapshot === null) {
    throw unknownClassifier(id);
  }
  deps.models.learn(context.get('tenant'), snapshot);
  return { id, client, snapshot };
}

/** @throws ApiError for a parameter that is none of these: it would have no effect. */
export function checkQuery(context: ClassifierContext, names: readonly string[]): void {
  const known = z.strictObject(Object.fromEntries(names.map((name) => [name, z.string().optional()])));
  parseOrRefuse(known, context.req.query());
}

/** The query's `version`, and nothing else; null for the latest. */
export function readVersion(context: ClassifierContext): number | null {
  checkQuery(context, ['version']);
  const given = context.req.query('version');
  if (given === undefined) {
    return null;
  }
  if (!/^[1-9]\d{0,8}$/.test(given)) {
    throw badRequest("Invalid value for 'version': expected a positive whole number.", 'version', 'invalid_value');
  }
  return Number(given);
}

/** @throws ApiError when the tenant has as many as it may. */
export async function makeClassifier(
  tenant: string,
  { id, name, kind }: { readonly id: string; readonly name: string; readonly kind: ClassifierKind },
  deps: ClassifierRouteDeps,
  { classifiersMax }: ClassifyLimits,
): Promise<ClassifierClient> {
  const createdMs = deps.epochMs();
  if (!(await deps.classifiers.index(tenant).add({ id, createdMs }))) {
    const message = `There are ${classifiersMax} classifiers already, as many as there may be. Remove one first.`;
    throw badRequest(message, null, 'too_many_classifiers');
  }
  const client = deps.classifiers.classifier(tenant, id);
  await client.create({ id, name, kind, createdMs });
  return client;
}

export async function removeClassifier(tenant: string, id: string, deps: ClassifierRouteDeps): Promise<void> {
  await deps.classifiers.index(tenant).remove(id);
  await deps.classifiers.classifier(tenant, id).remove();
}
