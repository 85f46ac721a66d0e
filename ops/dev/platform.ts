/**
 * The whole platform on this machine: gateway and stages as separate scripts in one Workers runtime, started in process
 * through Miniflare.
 */
import { Log, LogLevel, Miniflare, type MiniflareOptions } from 'miniflare';
import { rm } from 'node:fs/promises';
import path from 'node:path';
import { type AttachedOrigins, NO_ORIGINS, withOrigins } from '../origin/attached-origins.ts';
import { LITE_MODEL_ID, platformTopology } from '../plan/topology.ts';
import { removeAbandoned } from '../support/files.ts';
import type { HomeLayout } from '../support/home.ts';
import { messageOf, OperatorError, systemCodeOf } from '../support/operator-error.ts';
import { type Progress, runStep } from '../support/progress.ts';
import { layOutGatewayModel, layOutStageAssets } from './asset-folders.ts';
import { bundleScripts } from './bundle.ts';
import { buildGatewayAssets } from './gateway-assets.ts';
import { type LocalWorker, localWorkers } from './local-workers.ts';
import { addressInUse, LISTEN_HOST } from './port.ts';
import type { PreparedModel } from './prepare.ts';
import { waitUntilReady } from './readiness.ts';
import { runtimeGuardEnv } from './runtime-guard.ts';

export interface PlatformOptions {
  readonly home: HomeLayout;
  readonly prepared: PreparedModel;
  /** 0 for a free one. */
  readonly port: number;
  readonly env: NodeJS.ProcessEnv;
  readonly progress: Progress;
  /** GPU origins that the gateway may use; none by default. */
  readonly origins?: AttachedOrigins;
  /** Gets every line that the runtime and the scripts log. */
  readonly onLog: (line: string) => void;
  /** Port of the runtime's inspector (Chrome DevTools protocol), 0 for a free one; no inspector by default. */
  readonly inspectorPort?: number;
}

export interface Platform {
  /** `http://127.0.0.1:<port>/` */
  readonly url: URL;
  /** Where the inspector lists the workers; null without one. */
  readonly inspectorUrl: URL | null;
  /** Stops the runtime. Harmless when repeated. */
  stop(): Promise<void>;
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

/** Bundles the scripts and lays out the assets; everything that the runtime reads from disk. */
async function layOut(options: PlatformOptions): Promise<LocalWorker[]> {
  const { home, prepared } = options;
  const { plan, manifestSha256 } = prepared;
  const topology = withOrigins(platformTopology(plan, manifestSha256, 'local'), options.origins ?? NO_ORIGINS);
  const gatewayAssets = path.join(home.assets, 'gateway');
  const modelAssets = path.join(home.assets, path.basename(prepared.convertedFolder));
  await Promise.all([home.root, home.assets, modelAssets].map(removeAbandoned));
  await rm(gatewayAssets, { recursive: true, force: true });
  const [stageAssets] = await Promise.all([
    layOutStageAssets({ ...prepared, folder: modelAssets }),
    bundleScripts(home.scripts, prepared.kernelsFile),
    buildGatewayAssets(gatewayAssets),
    layOutGatewayModel(gatewayAssets, `/models/${LITE_MODEL_ID}`, prepared.convertedFolder),
  ]);
  return localWorkers({ topology, scripts: home.scripts, gatewayAssets, stageAssets });
}

function miniflareOptions(options: PlatformOptions, workers: LocalWorker[]): MiniflareOptions {
  return {
    host: LISTEN_HOST,
    port: options.port,
    workers,
    ...(options.inspectorPort === undefined ? {} : { inspectorPort: options.inspectorPort }),
    resourcePersistencePath: options.home.state,
    log: new LineLog(options.onLog),
    handleStructuredLogs: ({ level, message }) => options.onLog(`${level}: ${message}`),
    handleUncaughtError: (error) => options.onLog(messageOf(error)),
    // Nothing is looked up on the network, told to other processes, or traced.
    cf: false,
    enableDevRegistry: false,
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

async function startRuntime(
  options: PlatformOptions,
  workers: LocalWorker[],
): Promise<{ miniflare: Miniflare; url: URL }> {
  Object.assign(process.env, await runtimeGuardEnv(options.home.root, options.env));
  const miniflare = createMiniflare(miniflareOptions(options, workers));
  try {
    return { miniflare, url: await miniflare.ready };
  } catch (error) {
    await miniflare.dispose();
    if (systemCodeOf(error) === 'ERR_ADDRESS_IN_USE') {
      throw addressInUse(options.port);
    }
    throw new OperatorError('runtime_failed', `The Workers runtime did not start: ${messageOf(error)}`);
  }
}

/** Starts everything and resolves when a chat has been answered. */
export async function startPlatform(options: PlatformOptions): Promise<Platform> {
  const { progress } = options;
  const workers = await runStep(progress, 'Scripts and assets', async () => {
    const value = await layOut(options);
    return { value, outcome: `${value.length} workers` };
  });
  const { miniflare, url } = await runStep(progress, 'Workers runtime', async () => {
    const value = await startRuntime(options, workers);
    return { value, outcome: `port ${value.url.port}` };
  });
  let stopping: Promise<void> | null = null;
  const stop = (): Promise<void> => (stopping ??= miniflare.dispose());
  try {
    await runStep(progress, 'First token', async () => {
      await waitUntilReady(url);
      return { value: null, outcome: 'weights loaded, chat answered' };
    });
  } catch (error) {
    await stop();
    throw error;
  }
  const inspectorUrl = options.inspectorPort === undefined ? null : await miniflare.getInspectorURL();
  return { url, inspectorUrl, stop };
}
