/** The bindings and variables of the gateway's Worker, checked once per isolate. */
import { assertKeysApart, type Environment } from '../auth/keyring.ts';
import type { PrefixShard } from './prefix-shard.ts';
import { parseModeration, type Moderation } from '../classify/moderation.ts';
import type { ClassifierClient, ClassifierIndexClient } from '../classify/classifier.ts';
import type { ObjectNamespace } from './classifier-stubs.ts';
import type { RunShardObject } from './run-shard.ts';
import { isRingEntry, parseCatalog, type Catalog } from '../routing/catalog.ts';

/** As the configuration declares it: `wrangler.toml`, and the local platform in the same terms. */
export interface GatewayBindings {
  readonly ASSETS: Fetcher;
  /** JSON: see `worker/routing/catalog.ts`. */
  readonly CATALOG: string;
  readonly LAMINA_ENVIRONMENT: string;
  /** Secret: keys that are accepted, separated by commas. */
  readonly API_KEYS?: string;
  /** Secret: keys of operators, separated by commas. None of them is an API key. */
  readonly ADMIN_KEYS?: string;
  /** Web origins that may call the API from a browser, separated by commas. */
  readonly CORS_ORIGINS?: string;
  /** JSON: see `worker/classify/moderation.ts`. */
  readonly MODERATION?: string;
  /** Namespace of the objects that keep runs: `RunShard` of this script. */
  readonly RUNS: DurableObjectNamespace<RunShardObject>;
  /** Namespace of the objects that keep prefixes: `PrefixShard` of this script. */
  readonly PREFIXES: DurableObjectNamespace<PrefixShard>;
  /** Namespaces of the classifiers' objects, in the script `lamina-classify`. */
  readonly CLASSIFIERS: ObjectNamespace<ClassifierClient>;
  readonly CLASSIFIER_INDEX: ObjectNamespace<ClassifierIndexClient>;
  /** Namespaces of head shards, under the names that the catalog gives. */
  readonly [headBinding: string]: unknown;
}

export interface GatewaySettings {
  readonly environment: Environment;
  readonly apiKeys: readonly string[];
  readonly adminKeys: readonly string[];
  readonly corsOrigins: readonly string[];
  readonly catalog: Catalog;
  readonly moderation: Moderation | null;
}

/** @throws Error naming the variable that is wrong and what it should be. */
export function readSettings(bindings: GatewayBindings): GatewaySettings {
  const { LAMINA_ENVIRONMENT: environment } = bindings;
  if (environment !== 'local' && environment !== 'production') {
    throw new Error(`The variable LAMINA_ENVIRONMENT is '${environment}'; it must be 'local' or 'production'`);
  }
  const catalog = parseCatalog(bindings.CATALOG);
  for (const { id, backend } of catalog.entries.filter(isRingEntry)) {
    const missing = backend.headBindings.find((name) => bindings[name] === undefined);
    if (missing !== undefined) {
      throw new Error(`The model '${id}' needs the Durable Object binding ${missing}, which is missing`);
    }
  }
  const apiKeys = commaList(bindings.API_KEYS);
  const adminKeys = commaList(bindings.ADMIN_KEYS);
  assertKeysApart(apiKeys, adminKeys);
  return {
    environment,
    apiKeys,
    adminKeys,
    corsOrigins: commaList(bindings.CORS_ORIGINS),
    catalog,
    moderation: parseModeration(bindings.MODERATION),
  };
}

function commaList(value: string | undefined): string[] {
  return (value ?? '')
    .split(',')
    .map((item) => item.trim())
    .filter((item) => item !== '');
}
