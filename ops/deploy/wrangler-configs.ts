/**
 * The platform's topology in the terms of wrangler: one configuration for each script.
 *
 * The ring is circular: every stage is bound to the next one, and the last to the first. A binding to a script that does
 * not exist yet is refused, so a stage that has never been deployed is deployed twice: first by its `bootstrap`
 * configuration, which has no bindings to other scripts and so only brings the script and its class into being, then by
 * its full one. A stage that exists is deployed once, since a bootstrap would cut the ring that is running.
 */
import path from 'node:path';
import type { OriginBindings } from '../origin/origins-file.ts';
import { COMPATIBILITY_DATE, COMPATIBILITY_FLAGS, type ScriptTopology, type Topology } from '../plan/topology.ts';
import { PROJECT_ROOT } from '../support/home.ts';

/** A wrangler configuration, as JSON. Paths in it are relative to the folder it lies in. */
export type WranglerConfig = Readonly<Record<string, unknown>>;

export interface ScriptConfigs {
  readonly scriptName: string;
  /** The replica that it is a stage of; null for what all replicas have in common. */
  readonly replicaIndex: number | null;
  readonly full: WranglerConfig;
  /** Null where no script that is deployed before is bound to it. */
  readonly bootstrap: WranglerConfig | null;
}

const GATEWAY_ENTRY = path.join(PROJECT_ROOT, 'worker', 'index.ts');
const STAGE_ENTRY = path.join(PROJECT_ROOT, 'shards', 'stage-shard.ts');
const CLASSIFY_ENTRY = path.join(PROJECT_ROOT, 'worker', 'platform', 'classifier-shard.ts');

interface ConfigOptions {
  readonly topology: ScriptTopology;
  /** Folder in which the configuration will lie. */
  readonly folder: string;
  readonly entry: string;
  readonly assets: string;
}

function commonConfig({ topology, folder, entry, assets }: ConfigOptions): Record<string, unknown> {
  return {
    $schema: path.relative(folder, path.join(PROJECT_ROOT, 'node_modules', 'wrangler', 'config-schema.json')),
    name: topology.name,
    main: path.relative(folder, entry),
    compatibility_date: COMPATIBILITY_DATE,
    compatibility_flags: COMPATIBILITY_FLAGS,
    // The script answers every request itself and serves an asset when it means to.
    assets: { directory: path.relative(folder, assets), binding: 'ASSETS', run_worker_first: true },
    vars: topology.variables,
    ...(topology.classes.length === 0 ? {} : { migrations: [{ tag: 'v1', new_sqlite_classes: topology.classes }] }),
    observability: { enabled: true },
  };
}

/** A class of the script itself is bound without a script name: the runtime refuses the longer form. */
function namespaceBindings(topology: ScriptTopology): Record<string, string>[] {
  return topology.namespaces.map(({ name, scriptName, className }) => ({
    name,
    class_name: className,
    ...(scriptName === topology.name ? {} : { script_name: scriptName }),
  }));
}

function stageConfigs(options: ConfigOptions, replicaIndex: number): ScriptConfigs {
  const bindings = namespaceBindings(options.topology);
  const config = (bound: Record<string, string>[]): WranglerConfig => ({
    ...commonConfig(options),
    // Stages are reached through bindings alone.
    workers_dev: false,
    preview_urls: false,
    durable_objects: { bindings: bound },
  });
  return {
    scriptName: options.topology.name,
    replicaIndex,
    full: config(bindings),
    bootstrap: config(bindings.filter((binding) => binding['script_name'] === undefined)),
  };
}

export interface DeploymentFolders {
  /** Where the configurations will lie, each in a folder of its script's name. */
  readonly folder: string;
  readonly gatewayAssets: string;
  /** In stage order, the same for each replica. */
  readonly stageAssets: readonly string[];
}

/**
 * Configurations in the order of deployment: the stages of each replica, then the classifiers' script and the gateway,
 * which are bound to the heads.
 * @param gatewayBindings how the gateway reaches its GPU origins, in wrangler's terms.
 */
export function wranglerConfigs(
  topology: Topology,
  folders: DeploymentFolders,
  gatewayBindings: OriginBindings = {},
): ScriptConfigs[] {
  const stages = topology.replicas.flatMap((replica, replicaIndex) =>
    replica.map((stage, index) => {
      const assets = folders.stageAssets[index];
      if (assets === undefined) {
        throw new Error(`Stage ${index} has no assets folder.`);
      }
      const folder = path.join(folders.folder, stage.name);
      return stageConfigs({ topology: stage, folder, entry: STAGE_ENTRY, assets }, replicaIndex);
    }),
  );
  const { gateway, classify } = topology;
  const gatewayOptions = {
    topology: gateway,
    folder: path.join(folders.folder, gateway.name),
    entry: GATEWAY_ENTRY,
    assets: folders.gatewayAssets,
  };
  const full = {
    ...commonConfig(gatewayOptions),
    workers_dev: true,
    durable_objects: { bindings: namespaceBindings(gateway) },
    ...gatewayBindings,
  };
  // It reads the same tokenizer as the gateway.
  const classifyOptions = {
    topology: classify,
    folder: path.join(folders.folder, classify.name),
    entry: CLASSIFY_ENTRY,
    assets: folders.gatewayAssets,
  };
  const classifyConfig = {
    ...commonConfig(classifyOptions),
    // Reached through bindings alone.
    workers_dev: false,
    preview_urls: false,
    durable_objects: { bindings: namespaceBindings(classify) },
  };
  return [
    ...stages,
    { scriptName: classify.name, replicaIndex: null, full: classifyConfig, bootstrap: null },
    { scriptName: gateway.name, replicaIndex: null, full, bootstrap: null },
  ];
}
