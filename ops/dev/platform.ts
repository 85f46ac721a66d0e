/**
 * The whole platform on this machine: gateway and stages as separate scripts in the Workers runtime, which Miniflare
 * starts.
 */
import { rm } from 'node:fs/promises';
import path from 'node:path';
import { type AttachedOrigins, NO_ORIGINS, withOrigins } from '../origin/attached-origins.ts';
import { LITE_MODEL_ID, platformTopology, type Topology } from '../plan/topology.ts';
import { removeAbandoned } from '../support/files.ts';
import type { HomeLayout } from '../support/home.ts';
import { type Progress, runStep } from '../support/progress.ts';
import { layOutGatewayModel, layOutStageAssets } from './asset-folders.ts';
import { bundleScripts, type EntryPoints } from './bundle.ts';
import { buildGatewayAssets } from './gateway-assets.ts';
import { type LocalWorkers, localWorkers } from './local-workers.ts';
import type { PreparedModel } from './prepare.ts';
import { waitUntilReady } from './readiness.ts';
import { groupByProcess, numProcessesOfReplica, type Runtimes, startRuntimes } from './runtimes.ts';

export interface PlatformOptions {
  readonly home: HomeLayout;
  readonly prepared: PreparedModel;
  /** 0 for a free one. */
  readonly port: number;
  /** Rings of the model. */
  readonly numReplicas: number;
  /** Runtimes that share the stages of all replicas, at most one for each stage. */
  readonly numProcesses: number;
  readonly env: NodeJS.ProcessEnv;
  readonly progress: Progress;
  /** GPU origins that the gateway may use; none by default. */
  readonly origins?: AttachedOrigins;
  /** Keys that are accepted beside `sk-local`, separated by commas: each is a tenant of its own. */
  readonly apiKeys?: string;
  /** Gets every line that the runtime and the scripts log. */
  readonly onLog: (line: string) => void;
  /** Port of the runtime's inspector (Chrome DevTools protocol), 0 for a free one; no inspector by default. */
  readonly inspectorPort?: number;
  /** Scripts in the place of the platform's own, for tests that do to them what nobody else may. */
  readonly entryPoints?: EntryPoints;
  /** Resolves when the platform answers; asks for a chat by default. A bench has questions of its own. */
  readonly untilReady?: (url: URL) => Promise<void>;
}

export interface Platform {
  /** `http://127.0.0.1:<port>/` */
  readonly url: URL;
  /** Where the inspector lists the workers; null without one. */
  readonly inspectorUrl: URL | null;
  readonly call: Runtimes['call'];
  /** Stops the runtime. Harmless when repeated. */
  stop(): Promise<void>;
}

/** Bundles the scripts and lays out the assets; everything that the runtime reads from disk. */
async function layOut(options: PlatformOptions): Promise<LocalWorkers> {
  const { home, prepared, numReplicas, numProcesses } = options;
  const { plan, manifestSha256 } = prepared;
  const planned = platformTopology(plan, {
    manifestSha256,
    environment: 'local',
    numReplicas,
    numParallelStages: (replicaIndex) =>
      numProcessesOfReplica(replicaIndex, plan.stages.length, numReplicas, numProcesses),
  });
  const topology = withApiKeys(withOrigins(planned, options.origins ?? NO_ORIGINS), options.apiKeys ?? '');
  const gatewayAssets = path.join(home.assets, 'gateway');
  const modelAssets = path.join(home.assets, path.basename(prepared.convertedFolder));
  await Promise.all([home.root, home.assets, modelAssets].map(removeAbandoned));
  await rm(gatewayAssets, { recursive: true, force: true });
  const [stageAssets] = await Promise.all([
    layOutStageAssets({ ...prepared, folder: modelAssets }),
    bundleScripts(home.scripts, prepared.kernelsFile, options.entryPoints),
    buildGatewayAssets(gatewayAssets),
    layOutGatewayModel({
      folder: gatewayAssets,
      assetsPath: `/models/${LITE_MODEL_ID}`,
      model: prepared.plan.model,
      convertedFolder: prepared.convertedFolder,
    }),
  ]);
  return localWorkers({ topology, scripts: home.scripts, gatewayAssets, stageAssets });
}

/** What is a secret of the deployed gateway is a variable of the local one. */
function withApiKeys(topology: Topology, apiKeys: string): Topology {
  const variables = { ...topology.gateway.variables, API_KEYS: apiKeys };
  return { ...topology, gateway: { ...topology.gateway, variables } };
}

/** Starts everything and resolves when a chat has been answered. */
export async function startPlatform(options: PlatformOptions): Promise<Platform> {
  const { progress } = options;
  const workers = await runStep(progress, 'Scripts and assets', async () => {
    const value = await layOut(options);
    return { value, outcome: `${value.services.length + value.stages.length} workers` };
  });
  const runtimes = await runStep(progress, 'Workers runtime', async () => {
    const { numProcesses } = options;
    const value = await startRuntimes(options, groupByProcess(workers, numProcesses));
    const processes = numProcesses === 1 ? '' : `, ${numProcesses} processes`;
    return { value, outcome: `port ${value.url.port}${processes}` };
  });
  const { url, inspectorUrl, call } = runtimes;
  let stopping: Promise<void> | null = null;
  const stop = (): Promise<void> => (stopping ??= runtimes.stop());
  try {
    await runStep(progress, 'First token', async () => {
      await (options.untilReady ?? waitUntilReady)(url);
      return { value: null, outcome: 'weights loaded, chat answered' };
    });
  } catch (error) {
    await stop();
    throw error;
  }
  return { url, inspectorUrl, call, stop };
}
