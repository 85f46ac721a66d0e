/**
 * The scripts of the platform as the runtime takes them: one ES module each, and the kernels as a compiled module beside
 * it. Bundling takes a fraction of a second, so it is done at every start: what runs is always what is in the tree.
 */
import { build, type Plugin, stop } from 'esbuild';
import { copyFile, mkdir, rm } from 'node:fs/promises';
import path from 'node:path';
import { commitFolder, unfinishedPath } from '../support/files.ts';
import { PROJECT_ROOT } from '../support/home.ts';
import { messageOf, OperatorError } from '../support/operator-error.ts';

/** Name of the kernels beside a bundled script. */
export const KERNELS_MODULE = 'kernels.wasm';

export const GATEWAY_SCRIPT = 'gateway.js';
export const STAGE_SCRIPT = 'stage.js';
export const CLASSIFY_SCRIPT = 'classify.js';

/** Source files of the scripts, from the project's folder. */
export interface EntryPoints {
  readonly gateway: string;
  readonly stage: string;
  readonly classify: string;
}

const ENTRY_POINTS: EntryPoints = {
  gateway: 'worker/index.ts',
  stage: 'shards/stage-shard.ts',
  classify: 'worker/platform/classifier-shard.ts',
};

/** Leaves an import of a `.wasm` file in place: the runtime resolves it to a `WebAssembly.Module`. */
const wasmModules: Plugin = {
  name: 'wasm-modules',
  setup: (pluginBuild) => {
    pluginBuild.onResolve({ filter: /\.wasm$/ }, () => ({ path: `./${KERNELS_MODULE}`, external: true }));
  },
};

/** Bundles the scripts into `folder`, which is replaced as a whole. */
export async function bundleScripts(
  folder: string,
  kernelsFile: string,
  entryPoints: EntryPoints = ENTRY_POINTS,
): Promise<void> {
  const unfinished = unfinishedPath(folder);
  await mkdir(unfinished, { recursive: true });
  try {
    await build({
      absWorkingDir: PROJECT_ROOT,
      entryPoints: { ...entryPoints },
      outdir: unfinished,
      bundle: true,
      format: 'esm',
      platform: 'neutral',
      // The runtime's own export condition first, as its bundler does, then what browsers get.
      conditions: ['workerd', 'worker', 'browser'],
      mainFields: ['module', 'main'],
      target: 'es2024',
      external: ['cloudflare:*', 'node:*'],
      define: { 'process.env.NODE_ENV': '"production"' },
      minifySyntax: true,
      sourcemap: 'inline',
      sourcesContent: false,
      logLevel: 'silent',
      plugins: [wasmModules],
    });
    await copyFile(kernelsFile, path.join(unfinished, KERNELS_MODULE));
    await commitFolder(unfinished, folder);
  } catch (error) {
    await rm(unfinished, { recursive: true, force: true });
    throw new OperatorError('runtime_failed', `The scripts could not be bundled: ${messageOf(error)}`);
  } finally {
    // Otherwise the bundler's process stays for as long as the platform runs.
    await stop();
  }
}
