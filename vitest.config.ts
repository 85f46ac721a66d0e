import { defineConfig } from 'vitest/config';

/**
 * Tests that run in Node. Those that need the Workers runtime have configurations of their own,
 * `shards/vitest.workerd.config.ts` and `worker/vitest.workerd.config.ts`; `npm test` runs all.
 */
export default defineConfig({
  test: {
    include: ['{wasm,shards,worker,ops}/**/*.test.ts'],
    exclude: ['**/node_modules/**', '**/workerd/**'],
    globalSetup: ['ops/testing/global-setup.ts'],
    // The machine that the project is developed for has two cores, and several files run a real model.
    maxWorkers: 2,
    testTimeout: 60_000,
    hookTimeout: 120_000,
  },
});
