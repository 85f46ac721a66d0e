import { cloudflareTest } from '@cloudflare/vitest-plugin';
import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { defineConfig } from 'vitest/config';
import { convertTinyModel } from '../ops/testing/tiny-model.ts';
import { buildKernels } from '../wasm/build.ts';
import { MANIFEST_FILE } from './model/runtime-host.ts';

/** Tests that need the Workers runtime: Durable Objects, WebSockets, static assets, the kernels in its V8. */

const root = path.resolve(import.meta.dirname, '..');
await buildKernels();
// Before the runtime starts, which looks for the folder of its assets.
const modelFolder = await convertTinyModel(path.join(root, '.lamina', 'test', 'workerd'));
const manifestSha256 = createHash('sha256')
  .update(await readFile(path.join(modelFolder, MANIFEST_FILE)))
  .digest('hex');

export default defineConfig({
  root,
  plugins: [
    cloudflareTest({
      main: 'shards/test/workerd/ring-worker.ts',
      miniflare: {
        compatibilityDate: '2026-11-01',
        compatibilityFlags: ['streams_byob_reader_does_not_detach_buffer'],
        modulesRules: [{ type: 'CompiledWasm', include: ['**/*.wasm'] }],
        durableObjects: { SHARD: { className: 'TestShard', useSQLite: true } },
        assets: { directory: modelFolder, binding: 'ASSETS' },
        bindings: { MANIFEST_SHA256: manifestSha256 },
      },
    }),
  ],
  test: {
    include: ['shards/test/workerd/**/*.test.ts'],
    // WebSockets between Durable Objects outlive a test file's storage isolation; one worker keeps them in one place.
    maxWorkers: 1,
    isolate: false,
    testTimeout: 60_000,
  },
});
