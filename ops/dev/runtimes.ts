/**
 * The Workers runtimes that the local platform consists of: one process that runs every script, or several that share
 * the stages, so that these compute side by side as they do when deployed. Processes find each other's objects through
 * Miniflare's registry, a folder with a file for each script; calls and links go straight from process to process.
 */
import { Log, LogLevel, Miniflare, type MiniflareOptions } from 'miniflare';
import { rm } from 'node:fs/promises';
import path from 'node:path';
import { messageOf, OperatorError, systemCodeOf } from '../support/operator-error.ts';
import type { HomeLayout } from '../support/home.ts';
import type { LocalWorker, LocalWorkers } from './local-workers.ts';
import { addressInUse, LISTEN_HOST } from './port.ts';
import { runtimeGuardEnv } from './runtime-guard.ts';

export interface RuntimesOptions {
  readonly home: HomeLayout;
  /** 0 for a free one. */
  readonly port: number;
  readonly env: NodeJS.ProcessEnv;
  /** Gets every line that the runtimes and the scripts log. */
  readonly onLog: (line: string) => void;
  /** Port of the first runtime's inspector, 0 for a free one; no inspector by default. */
  readonly inspectorPort?: number;
}

export interface Runtimes {
  /** Of the first worker of the first group. */
  readonly url: URL;
  readonly inspectorUrl: URL | null;
  /** Calls a method of an object that takes nothing, as a script that is bound to it would. */
  readonly call: (object: ObjectName, method: string) => Promise<unknown>;
  stop(): Promise<void>;
}

/** A Durable Object of the platform, as one of the scripts knows it. */
export interface ObjectName {
  readonly scriptName: string;
  readonly binding: string;
  readonly name: string;
}

/** Miniflare's own messages, without its prefix and colours. */
class LineLog extends Log {
  readonly #onLog: (line: string) => void;

  constructor(onLog: (line: string) => void) {
    super(LogLevel.WARN);
    this.#onLog = onLog;
  }

  override log(message: string): void {
    this.#onLog(message);
  }
}

/**
 * Which process each stage runs in: neighbours together, since a link inside a process is the shorter one. The gateway is
 * beside the first head, in the first.
 * @param stageIndex counted over all replicas, as is `stageCount`
 */
export function processOfStage(stageIndex: number, stageCount: number, numProcesses: number): number {
  return Math.floor((stageIndex * numProcesses) / stageCount);
}

/** Processes that the stages of a replica are in: so many of them compute side by side. */
export function numProcessesOfReplica(
  replicaIndex: number,
  stagesPerReplica: number,
  numReplicas: number,
  numProcesses: number,
): number {
  const processOf = (stageIndex: number): number =>
    processOfStage(replicaIndex * stagesPerReplica + stageIndex, stagesPerReplica * numReplicas, numProcesses);
  return processOf(stagesPerReplica - 1) - processOf(0) + 1;
}

/** The services are in the first process, the gateway first of all. */
export function groupByProcess({ services, stages }: LocalWorkers, numProcesses: number): LocalWorker[][] {
  const groups = Array.from({ length: numProcesses }, (): LocalWorker[] => []);
  groups[0]?.push(...services);
  for (const [index, worker] of stages.entries()) {
    groups[processOfStage(index, stages.length, numProcesses)]?.push(worker);
  }
  return groups;
}

function miniflareOptions(
  options: RuntimesOptions,
  workers: readonly LocalWorker[],
  processIndex: number,
  registry: string | null,
): MiniflareOptions {
  const { home, inspectorPort } = options;
  const isFirst = processIndex === 0;
  return {
    host: LISTEN_HOST,
    port: isFirst ? options.port : 0,
    workers: workers.map((worker) => ({
      ...worker,
      dev: { ...worker.dev, unsafeRegisterWorker: registry !== null },
    })),
    ...(inspectorPort === undefined || !isFirst ? {} : { inspectorPort }),
    resourcePersistencePath: isFirst ? home.state : path.join(home.state, `process-${processIndex}`),
    log: new LineLog(options.onLog),
    handleStructuredLogs: ({ level, message }) => options.onLog(`${level}: ${message}`),
    handleUncaughtError: (error) => options.onLog(messageOf(error)),
    // Nothing is looked up on the network, told to other platforms, or traced.
    cf: false,
    enableDevRegistry: registry !== null,
    ...(registry === null ? {} : { unsafeDevRegistryPath: registry }),
    unsafeObservability: false,
    logRequests: false,
    telemetry: { enabled: false },
  };
}

const HANDLED_SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

/**
 * Creates a Miniflare without the signal handlers that it installs: they end the process at once with a failure, and
 * this process has its own way to stop. Its handler for `exit`, which kills the runtime, stays.
 */
function createMiniflare(options: MiniflareOptions): Miniflare {
  const before = HANDLED_SIGNALS.map((signal) => new Set(process.listeners(signal)));
  const miniflare = new Miniflare(options);
  HANDLED_SIGNALS.forEach((signal, index) => {
    for (const listener of process.listeners(signal)) {
      if (before[index]?.has(listener) !== true) {
        process.removeListener(signal, listener);
      }
    }
  });
  return miniflare;
}

/** An empty registry of this platform's own: entries of one that was killed would stand in the way for a while. */
async function createRegistry(home: HomeLayout): Promise<string> {
  const registry = path.join(home.state, 'registry');
  await rm(registry, { recursive: true, force: true });
  // Miniflare prefers the variable to its option.
  process.env['CLOUDFLARE_DEV_REGISTRY_PATH'] = registry;
  return registry;
}

/** Starts one runtime for each group of workers. */
export async function startRuntimes(options: RuntimesOptions, groups: readonly LocalWorker[][]): Promise<Runtimes> {
  Object.assign(process.env, await runtimeGuardEnv(options.home.root, options.env));
  const registry = groups.length > 1 ? await createRegistry(options.home) : null;
  const miniflares = groups.map((workers, index) =>
    createMiniflare(miniflareOptions(options, workers, index, registry)),
  );
  const stop = async (): Promise<void> => {
    await Promise.all(miniflares.map((miniflare) => miniflare.dispose()));
  };
  const call = async ({ scriptName, binding, name }: ObjectName, method: string): Promise<unknown> => {
    const index = groups.findIndex((workers) => workers.some(({ config }) => config.name === scriptName));
    const namespace = await miniflares[Math.max(0, index)]?.getDurableObjectNamespace(binding, scriptName);
    const stub = namespace?.getByName(name) as unknown as Readonly<Record<string, () => Promise<unknown>>>;
    return stub[method]?.();
  };
  try {
    const [url] = await Promise.all(miniflares.map((miniflare) => miniflare.ready));
    const inspectorUrl = options.inspectorPort === undefined ? null : await miniflares[0]?.getInspectorURL();
    return { url: url as URL, inspectorUrl: inspectorUrl ?? null, call, stop };
  } catch (error) {
    await stop();
    if (systemCodeOf(error) === 'ERR_ADDRESS_IN_USE') {
      throw addressInUse(options.port);
    }
    throw new OperatorError('runtime_failed', `The Workers runtime did not start: ${messageOf(error)}`);
  }
}
