/** The platform's topology in the terms of Miniflare, the local version of the Workers runtime. */
import { readFile } from 'node:fs/promises';
import type { MiniflareOptions } from 'miniflare';
import path from 'node:path';
import { CLASSIFY_SCRIPT, GATEWAY_SCRIPT, KERNELS_MODULE, STAGE_SCRIPT } from './bundle.ts';
import { COMPATIBILITY_DATE, COMPATIBILITY_FLAGS, type ScriptTopology, type Topology } from '../plan/topology.ts';

export type LocalWorker = MiniflareOptions['workers'][number];

/** A script's files: the ES module and, for one that computes, the kernels. */
interface ScriptFiles {
  readonly scripts: string;
  readonly main: string;
  readonly kernels: Uint8Array<ArrayBuffer> | null;
  readonly assets: string;
}

async function localWorker(topology: ScriptTopology, files: ScriptFiles): Promise<LocalWorker> {
  const code = await readFile(path.join(files.scripts, files.main), 'utf8');
  const variables = Object.entries(topology.variables).map(([name, value]) => [name, { type: 'text', value }] as const);
  const namespaces = topology.namespaces.map(
    ({ name, scriptName, className }) =>
      [name, { type: 'durable-object', worker: scriptName, exportName: className }] as const,
  );
  const classes = topology.classes.map((name) => [name, { type: 'durable-object', storage: 'sqlite' }] as const);
  return {
    config: {
      name: topology.name,
      compatibilityDate: COMPATIBILITY_DATE,
      compatibilityFlags: [...COMPATIBILITY_FLAGS],
      manifest: {
        mainModule: files.main,
        modulesRoot: files.scripts,
        modules: {
          [files.main]: { type: 'esm', contents: code },
          ...(files.kernels === null ? {} : { [KERNELS_MODULE]: { type: 'wasm', contents: files.kernels } }),
        },
      },
      env: { ...Object.fromEntries([...variables, ...namespaces]), ASSETS: { type: 'assets' } },
      exports: Object.fromEntries(classes),
      // The script answers every request itself and serves an asset when it means to: weights are nobody's download.
      assets: { directory: files.assets, hasUserWorker: true, runWorkerFirst: true },
    },
  };
}

export interface LocalWorkersOptions {
  readonly topology: Topology;
  /** Folder of the bundled scripts and the kernels. */
  readonly scripts: string;
  readonly gatewayAssets: string;
  /** In stage order, the same for each replica. */
  readonly stageAssets: readonly string[];
}

export interface LocalWorkers {
  /** The gateway, which is the one that the port leads to, and what it works with beside the rings. */
  readonly services: readonly LocalWorker[];
  /** Each replica's stages in order. */
  readonly stages: readonly LocalWorker[];
}

export async function localWorkers(options: LocalWorkersOptions): Promise<LocalWorkers> {
  const { topology, scripts } = options;
  const kernels = Uint8Array.from(await readFile(path.join(scripts, KERNELS_MODULE)));
  const gateway = localWorker(topology.gateway, {
    scripts,
    main: GATEWAY_SCRIPT,
    kernels: null,
    assets: options.gatewayAssets,
  });
  const stages = topology.replicas.flatMap((replica) =>
    replica.map((stage, index) => {
      const assets = options.stageAssets[index];
      if (assets === undefined) {
        throw new Error(`Stage ${index} has no assets folder.`);
      }
      return localWorker(stage, { scripts, main: STAGE_SCRIPT, kernels, assets });
    }),
  );
  // Its assets are the gateway's: it reads the same tokenizer.
  const classify = localWorker(topology.classify, {
    scripts,
    main: CLASSIFY_SCRIPT,
    kernels,
    assets: options.gatewayAssets,
  });
  return { services: await Promise.all([gateway, classify]), stages: await Promise.all(stages) };
}
