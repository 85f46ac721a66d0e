/** A gateway over the real engine and a tiny random model, all in this process. */
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { fileAssets } from '../../../ops/testing/file-assets.ts';
import { convertTinyModel } from '../../../ops/testing/tiny-model.ts';
import type { ReplicaHead } from '../../../shards/client/replica-head.ts';
import { createLocalEngine } from '../../../shards/platform/local/local-engine.ts';
import { systemClock } from '../../../shards/platform/system.ts';
import { loadKernels } from '../../../wasm/build.ts';
import { IndexHost } from '../../classify/index-host.ts';
import { createGateway, type GatewayDeps } from '../../gateway.ts';
import type { ServedRecord } from '../../metering/served-record.ts';
import { parseCatalog } from '../../routing/catalog.ts';
import { createTextModels } from '../../tokenizer/text-model.ts';
import { newDatabase, openLife } from './node-sql.ts';
import { ScriptedOrigins } from './scripted-origins.ts';

export const TEST_MODEL = 'lamina-test';

/** The tiny model on a ring, and a model that origins serve. */
export const TEST_CATALOG = [
  {
    id: TEST_MODEL,
    tier: 'lite',
    backend: { type: 'ring', model: 'tiny', headBindings: ['HEAD_0'], assetsPath: '/models/tiny' },
    aliases: ['tiny'],
  },
  { id: 'lamina-pro', tier: 'pro', backend: { type: 'origins' }, aliases: ['chatglm_pro'] },
];

export interface TestGateway {
  readonly app: ReturnType<typeof createGateway>;
  readonly deps: GatewayDeps;
  readonly head: ReplicaHead;
  readonly records: ServedRecord[];
  readonly errors: unknown[];
  close(): Promise<void>;
}

/** Folder of the converted tiny model; 512 tokens of context, 300 of vocabulary. */
export async function tinyModelFolder(): Promise<{ folder: string; remove: () => Promise<void> }> {
  const dir = await mkdtemp(path.join(os.tmpdir(), 'lamina-gateway-'));
  const folder = await convertTinyModel(dir);
  return { folder, remove: () => rm(dir, { recursive: true, force: true }) };
}

/** What a gateway needs besides a head: fixed ids are not used, so that requests may run at the same time. */
export function gatewayDeps(
  folder: string,
  head: ReplicaHead,
  records: ServedRecord[],
  errors: unknown[],
): GatewayDeps {
  let numIds = 0;
  return {
    environment: 'local',
    apiKeys: ['sk-second-key'],
    adminKeys: ['sk-operator'],
    corsOrigins: [],
    catalog: parseCatalog(TEST_CATALOG.slice(0, 1)),
    heads: () => [head],
    origins: new ScriptedOrigins([], { models: [] }),
    textModel: createTextModels((file) => readFile(path.join(folder, path.basename(file)), 'utf8')),
    projection: () => {
      throw new Error('this test has no embeddings: see embeddings.test.ts');
    },
    servePage: () => Promise.resolve(new Response('<h1>page</h1>', { headers: { 'content-type': 'text/html' } })),
    clock: systemClock,
    epochMs: () => 1_700_000_000_000,
    randomId: () => `id${++numIds}`,
    randomSeed: () => 7,
    runs: () => {
      throw new Error('this test keeps no runs: see local-runs.ts');
    },
    prefixes: () => {
      throw new Error('this test keeps no prefixes: see prefixes.test.ts');
    },
    featureHeads: () => [],
    moderation: null,
    classifiers: {
      classifier: () => {
        throw new Error('this test has no classifiers: see local-classifiers.ts');
      },
      // The end of a tenant asks for them.
      index: () => new IndexHost(openLife(newDatabase()).sql, 1),
    },
    metering: { record: (record) => void records.push(record) },
    reportError: (_requestId, thrown) => void errors.push(thrown),
  };
}

export async function startRealGateway(overrides: Partial<GatewayDeps> = {}): Promise<TestGateway> {
  const { folder, remove } = await tinyModelFolder();
  const { engine, features, ring } = await createLocalEngine({
    assets: fileAssets(folder),
    kernels: await loadKernels(),
    stageCount: 2,
  });
  const records: ServedRecord[] = [];
  const errors: unknown[] = [];
  const deps = { ...gatewayDeps(folder, engine, records, errors), featureHeads: () => [features], ...overrides };
  return {
    app: createGateway(deps),
    deps,
    head: engine,
    records,
    errors,
    async close() {
      ring.close('the test is over');
      await remove();
    },
  };
}
