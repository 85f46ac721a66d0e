/** Writes the configurations of the deployed platform, checks that they bundle, and deploys them in order. */
import { rm } from 'node:fs/promises';
import path from 'node:path';
import { layOutStageAssets, layOutGatewayModel } from '../dev/asset-folders.ts';
import { buildGatewayAssets } from '../dev/gateway-assets.ts';
import type { PreparedModel } from '../dev/prepare.ts';
import { withOrigins } from '../origin/attached-origins.ts';
import type { DeployedOrigins } from '../origin/origins-file.ts';
import { LITE_MODEL_ID, platformTopology } from '../plan/topology.ts';
import { writeFileAtomic } from '../support/files.ts';
import { OperatorError } from '../support/operator-error.ts';
import { type Progress, runStep } from '../support/progress.ts';
import { runWrangler, type WranglerResult } from './wrangler.ts';
import type { Rollout } from './rollout.ts';
import { type ScriptConfigs, wranglerConfigs } from './wrangler-configs.ts';

const FULL_CONFIG = 'wrangler.json';
const BOOTSTRAP_CONFIG = 'bootstrap.json';

export interface DeploymentOptions {
  readonly origins?: DeployedOrigins | null;
  readonly numReplicas?: number;
  readonly corsOrigins?: readonly string[];
}

/** Lays out assets and configurations under `folder`, which is replaced. */
export async function writeDeployment(
  folder: string,
  prepared: PreparedModel,
  { origins = null, ...options }: DeploymentOptions = {},
): Promise<ScriptConfigs[]> {
  await rm(folder, { recursive: true, force: true });
  const assets = path.join(folder, 'assets');
  const gatewayAssets = path.join(assets, 'gateway');
  const [stageAssets] = await Promise.all([
    layOutStageAssets({ ...prepared, folder: assets }),
    buildGatewayAssets(gatewayAssets),
    layOutGatewayModel({
      folder: gatewayAssets,
      assetsPath: `/models/${LITE_MODEL_ID}`,
      model: prepared.plan.model,
      convertedFolder: prepared.convertedFolder,
    }),
  ]);
  const { plan, manifestSha256 } = prepared;
  const topology = platformTopology(plan, { manifestSha256, environment: 'production', ...options });
  const attached = withOrigins(topology, { origins: origins?.origins ?? [], secrets: {} });
  const scripts = wranglerConfigs(attached, { folder, gatewayAssets, stageAssets }, origins?.bindings ?? {});
  for (const { scriptName, full, bootstrap } of scripts) {
    await writeFileAtomic(path.join(folder, scriptName, FULL_CONFIG), `${JSON.stringify(full, null, 2)}\n`);
    if (bootstrap !== null) {
      await writeFileAtomic(path.join(folder, scriptName, BOOTSTRAP_CONFIG), `${JSON.stringify(bootstrap, null, 2)}\n`);
    }
  }
  return scripts;
}

export interface DeployOptions {
  readonly folder: string;
  readonly scripts: readonly ScriptConfigs[];
  readonly env: NodeJS.ProcessEnv;
  readonly progress: Progress;
  /** Runs wrangler; a test has one that needs no account. */
  readonly wrangler?: typeof runWrangler;
}

function failed(scriptName: string, result: WranglerResult): OperatorError {
  return new OperatorError('runtime_failed', `wrangler refused ${scriptName}:\n${result.output.trim()}`.trim());
}

const wranglerOf = ({ wrangler }: DeployOptions): typeof runWrangler => wrangler ?? runWrangler;

/** Bundles every script as a deployment would, without a network or an account. */
export async function dryRun(options: DeployOptions): Promise<void> {
  for (const { scriptName } of options.scripts) {
    const folder = path.join(options.folder, scriptName);
    await runStep(options.progress, scriptName, async () => {
      const args = ['deploy', '--dry-run', '--config', FULL_CONFIG, '--outdir', 'bundle'];
      const result = await wranglerOf(options)(args, folder, options.env, false);
      if (result.exitCode !== 0) {
        throw failed(scriptName, result);
      }
      return { value: null, outcome: /Total Upload: (.*)/.exec(result.output)?.[1] ?? 'bundled' };
    });
  }
}

/** Whether a script of this name has been deployed to the account before. */
async function exists(scriptName: string, options: DeployOptions): Promise<boolean> {
  const folder = path.join(options.folder, scriptName);
  const args = ['deployments', 'list', '--name', scriptName];
  return (await wranglerOf(options)(args, folder, options.env, false)).exitCode === 0;
}

/**
 * Deploys for real, with the terminal in wrangler's hands: it may ask for a login. The stages of a replica follow each
 * other, replica by replica, then what is bound to them.
 * @param rollout drains each replica before; null when their streams shall pause instead.
 */
export async function deploy(options: DeployOptions, rollout: Rollout | null = null): Promise<void> {
  const run = async (scriptName: string, config: string): Promise<void> => {
    options.progress.info(`wrangler deploy ${scriptName} (${config})`);
    const folder = path.join(options.folder, scriptName);
    const result = await wranglerOf(options)(['deploy', '--config', config], folder, options.env, true);
    if (result.exitCode !== 0) {
      throw failed(scriptName, result);
    }
  };
  for (const { scriptName, bootstrap } of options.scripts) {
    if (bootstrap !== null && !(await exists(scriptName, options))) {
      await run(scriptName, BOOTSTRAP_CONFIG);
    }
  }
  for (const [position, { scriptName, replicaIndex }] of options.scripts.entries()) {
    const isOfReplica = (other: ScriptConfigs | undefined): boolean => other?.replicaIndex === replicaIndex;
    if (replicaIndex !== null && !isOfReplica(options.scripts[position - 1])) {
      await rollout?.begin(replicaIndex);
    }
    await run(scriptName, FULL_CONFIG);
    if (replicaIndex !== null && !isOfReplica(options.scripts[position + 1])) {
      await rollout?.end(replicaIndex);
    }
  }
}
