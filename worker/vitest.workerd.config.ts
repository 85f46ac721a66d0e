import { cloudflareTest } from '@cloudflare/vitest-plugin';
import { createHash } from 'node:crypto';
import { copyFile, mkdir, readFile } from 'node:fs/promises';
import path from 'node:path';
import { defineConfig } from 'vitest/config';
import { convertTinyModel } from '../ops/testing/tiny-model.ts';
import { FEATURE_NUM_LAYERS } from '../shards/features/recipe.ts';
import { MANIFEST_FILE } from '../shards/model/runtime-host.ts';
import { buildKernels } from '../wasm/build.ts';

/** Tests of the gateway's own Durable Objects in the Workers runtime, and those of classifiers, over a ring of one stage in the same script. */

const root = path.resolve(import.meta.dirname, '..');
await buildKernels();
// As many layers as features are read from.
const shape = { numLayers: FEATURE_NUM_LAYERS };
const modelFolder = await convertTinyModel(path.join(root, '.lamina', 'test', 'workerd-gateway'), { shape });
const manifestSha256 = createHash('sha256')
  .update(await readFile(path.join(modelFolder, MANIFEST_FILE)))
  .digest('hex');
// One script has one folder of assets: the stage reads its files at the top, the gateway below `/models`.
const textFolder = path.join(modelFolder, 'models', 'tiny');
await mkdir(textFolder, { recursive: true });
for (const file of ['tokenizer.json', 'chat.json']) {
  await copyFile(path.join(modelFolder, file), path.join(textFolder, file));
}

const CATALOG = [
  {
    id: 'lamina-test',
    tier: 'lite',
    backend: { type: 'ring', model: 'tiny', headBindings: ['HEAD_0'], assetsPath: '/models/tiny' },
  },
];

export default defineConfig({
  root,
  plugins: [
    cloudflareTest({
      main: 'worker/test/workerd/gateway-worker.ts',
      miniflare: {
        compatibilityDate: '2026-11-01',
        modulesRules: [{ type: 'CompiledWasm', include: ['**/*.wasm'] }],
        durableObjects: {
          HEAD_0: { className: 'HeadShard', useSQLite: true },
          RUNS: { className: 'RunShard', useSQLite: true },
          PREFIXES: { className: 'PrefixShard', useSQLite: true },
          CLASSIFIERS: { className: 'ClassifierShard', useSQLite: true },
          CLASSIFIER_INDEX: { className: 'ClassifierIndex', useSQLite: true },
        },
        assets: { directory: modelFolder, binding: 'ASSETS' },
        bindings: {
          MANIFEST_SHA256: manifestSha256,
          CATALOG: JSON.stringify(CATALOG),
          LAMINA_ENVIRONMENT: 'local',
          TRAINING: JSON.stringify({ labelsMax: 500, trainingBytesMax: 64 * 1024 * 1024 }),
        },
      },
    }),
  ],
  test: {
    include: ['worker/test/workerd/**/*.test.ts'],
    // Objects call each other across a test file's storage isolation; one worker keeps them in one place.
    maxWorkers: 1,
    isolate: false,
    testTimeout: 60_000,
  },
});
