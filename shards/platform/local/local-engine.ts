/** A whole ring inside one process, for tests, evaluation and measurements: the deployed code on local links. */
import { assert } from '../../../wasm/host/assert.ts';
import { createStageRuntime, PAGE_SIZE_TOKENS } from '../../../wasm/host/stage-runtime.ts';
import type { StageRuntime, StageRuntimeOptions } from '../../../wasm/host/stage-runtime.ts';
import { HeadEngine } from '../../engine/engine.ts';
import type { EngineLimits } from '../../engine/limits.ts';
import { FeatureExtractor } from '../../features/feature-extractor.ts';
import type { FeatureLimits } from '../../features/limits.ts';
import { RingHead } from '../../link/ring-head.ts';
import { RING_TIMINGS, type RingTimings } from '../../link/ring-protocol.ts';
import { StageNode } from '../../link/stage-node.ts';
import type { StageAssignment } from '../../model/assignment.ts';
import { parseManifest } from '../../model/parse-manifest.ts';
import { MANIFEST_BYTES_MAX, MANIFEST_FILE, RuntimeHost } from '../../model/runtime-host.ts';
import { sha256Hex } from '../../model/weight-loader.ts';
import { readAsset, type AssetSource } from '../assets.ts';
import type { Clock, Entropy } from '../clock.ts';
import type { FrameLink, LinkConnector } from '../link.ts';
import { MemoryPageStore } from '../memory-page-store.ts';
import type { PageStore } from '../page-store.ts';
import { systemClock, systemEntropy } from '../system.ts';
import { createLocalLinkPair } from './local-link.ts';

export interface LocalEngineOptions {
  /** The files of a converted model. */
  readonly assets: AssetSource;
  readonly kernels: WebAssembly.Module;
  /** Layers are split evenly, the first stages taking one more. Default 1. */
  readonly stageCount?: number;
  /** Default: 16 pages more than one sequence of `contextLengthMax` tokens fills. */
  readonly numPages?: number;
  /** Default: the model's. */
  readonly contextLengthMax?: number;
  readonly numTokensMax?: number;
  readonly numLogitRowsMax?: number;
  /** Default 1, since all stages share this thread. */
  readonly stepsInFlightMax?: number;
  readonly limits?: Partial<EngineLimits>;
  readonly featureLimits?: Partial<FeatureLimits>;
  readonly timings?: Partial<RingTimings>;
  readonly clock?: Clock;
  readonly entropy?: Entropy;
  readonly createRuntime?: (options: StageRuntimeOptions) => StageRuntime;
  /** What each stage keeps pages in, one for each; default: memory of their own. */
  readonly pageStores?: readonly PageStore[];
  /** Sees every link that a stage opens, and may put another one, a faulty one say, in its place. */
  readonly wrapLink?: (link: FrameLink, fromStageIndex: number) => FrameLink;
}

export interface LocalEngine {
  readonly engine: HeadEngine;
  readonly features: FeatureExtractor;
  readonly ring: RingHead;
  /** Of the head's memory. */
  readonly headHost: RuntimeHost;
  /** Stages 1, 2, … */
  readonly stages: readonly StageNode[];
  readonly assignments: readonly StageAssignment[];
  /** Of all stages. */
  readonly pageStores: readonly PageStore[];
}

const NUM_TOKENS_MAX_DEFAULT = 64;
const NUM_LOGIT_ROWS_MAX_DEFAULT = 16;
const NUM_SPARE_PAGES_DEFAULT = 16;

/**
 * Builds a ring that opens itself with the first request. Close it with `ring.close()`; timers end by themselves.
 * @throws Error when the manifest is missing or unreadable.
 */
export async function createLocalEngine(options: LocalEngineOptions): Promise<LocalEngine> {
  const { assets, kernels } = options;
  const clock = options.clock ?? systemClock;
  const entropy = options.entropy ?? systemEntropy;
  const timings = { ...RING_TIMINGS, ...options.timings };
  const createRuntime =
    options.createRuntime ?? ((runtimeOptions: StageRuntimeOptions) => createStageRuntime(kernels, runtimeOptions));
  const assignments = await assignStages(options);
  const hosts = assignments.map((assignment) => new RuntimeHost({ assignment, createRuntime, clock, entropy }));
  const pageStores = options.pageStores ?? assignments.map(() => new MemoryPageStore({ clock }));
  assert(pageStores.length === assignments.length, 'each stage has a store of its own');
  const acceptors: ((link: FrameLink) => void)[] = [];
  const connectorFrom =
    (stageIndex: number): LinkConnector =>
    () => {
      const [near, far] = createLocalLinkPair(clock);
      acceptors[(stageIndex + 1) % assignments.length]?.(far);
      return Promise.resolve(options.wrapLink?.(near, stageIndex) ?? near);
    };
  const stages = assignments.slice(1).map(
    (assignment, i) =>
      new StageNode({
        assignment,
        owner: 'local',
        host: hosts[i + 1] as RuntimeHost,
        assets,
        connectNext: connectorFrom(i + 1),
        clock,
        pageStore: pageStores[i + 1] as PageStore,
        timings,
      }),
  );
  const ring = new RingHead({
    assignment: assignments[0] as StageAssignment,
    owner: 'local',
    host: hosts[0] as RuntimeHost,
    assets,
    stages,
    connectNext: connectorFrom(0),
    clock,
    entropy,
    pageStore: pageStores[0] as PageStore,
    timings,
  });
  acceptors.push(
    (link) => ring.acceptLink(link),
    ...stages.map((stage) => (link: FrameLink) => stage.acceptLink(link)),
  );
  const features = new FeatureExtractor({
    assignment: assignments[0] as StageAssignment,
    owner: 'local',
    host: hosts[0] as RuntimeHost,
    assets,
    clock,
    isRingInUse: () => ring.isInUse,
    ...(options.featureLimits && { limits: options.featureLimits }),
  });
  const engine = new HeadEngine({
    assignment: assignments[0] as StageAssignment,
    ring,
    clock,
    pace: features.pace,
    idleCloseMs: timings.idleCloseMs,
    ...(options.limits && { limits: options.limits }),
  });
  return { engine, features, ring, headHost: hosts[0] as RuntimeHost, stages, assignments, pageStores };
}

async function assignStages(options: LocalEngineOptions): Promise<StageAssignment[]> {
  const bytes = await readAsset(options.assets, MANIFEST_FILE, MANIFEST_BYTES_MAX);
  if (bytes === null || bytes === 'too_large') {
    throw new Error(`${MANIFEST_FILE} is missing or larger than ${MANIFEST_BYTES_MAX} bytes: convert the model again`);
  }
  const manifest = parseManifest(JSON.parse(new TextDecoder().decode(bytes)));
  const manifestSha256 = await sha256Hex(bytes);
  const stageCount = options.stageCount ?? 1;
  const contextLengthMax = options.contextLengthMax ?? manifest.config.contextLengthMax;
  const { numLayers } = manifest.config;
  const layerBoundary = (stageIndex: number): number => Math.ceil((stageIndex * numLayers) / stageCount);
  return Array.from({ length: stageCount }, (_, stageIndex) => ({
    model: manifest.model,
    manifestSha256,
    stageIndex,
    stageCount,
    layerStart: layerBoundary(stageIndex),
    layerEnd: layerBoundary(stageIndex + 1),
    numPages: options.numPages ?? Math.ceil(contextLengthMax / PAGE_SIZE_TOKENS) + NUM_SPARE_PAGES_DEFAULT,
    contextLengthMax,
    numTokensMax: options.numTokensMax ?? NUM_TOKENS_MAX_DEFAULT,
    numLogitRowsMax: options.numLogitRowsMax ?? NUM_LOGIT_ROWS_MAX_DEFAULT,
    stepsInFlightMax: options.stepsInFlightMax ?? 1,
  }));
}
