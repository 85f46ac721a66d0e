/** Everything about a simulated cluster that a seed decides before it starts. */
import { ENGINE_LIMITS, type EngineLimits } from '../engine/limits.ts';
import { pagesForTokens } from '../kv/page-table.ts';
import type { StageAssignment } from '../model/assignment.ts';
import { planFaults, type FaultPlan } from './faults.ts';
import type { ModelRelease } from './model-files.ts';
import { Random } from './random.ts';
import { POOLED_TOKENS_MAX } from './requests.ts';

export interface ClusterPlan {
  readonly numReplicas: number;
  readonly stageCount: number;
  /** First layer of each stage, and the number of layers. */
  readonly layerBoundaries: readonly number[];
  readonly contextLengthMax: number;
  readonly numPages: number;
  readonly numTokensMax: number;
  readonly numLogitRowsMax: number;
  readonly stepsInFlightMax: number;
  readonly limits: EngineLimits;
  /** One way through the network, on average. */
  readonly latencyMs: number;
  /** Of each stage's store. */
  readonly storeBytesMax: number;
  /** What a step costs a stage. */
  readonly stepMs: number;
  readonly tokenMs: number;
}

export interface SimPlan {
  readonly seed: number;
  readonly cluster: ClusterPlan;
  readonly faults: FaultPlan;
  readonly numTenants: number;
  readonly numRequests: number;
  readonly requestEveryMs: number;
  /** How long faults go on. */
  readonly stormMs: number;
}

/** Some ten pages of a layer: such a store forgets. */
export const SMALL_STORE_BYTES = 8 * 1024;
/** All pages that there will be. */
const LARGE_STORE_BYTES = 2 ** 24;
const REPLICAS_MAX = 3;
export const STAGES_MAX = 4;

/** @param numLayers of the model; at least `STAGES_MAX` */
export function planSeed(seed: number, numLayers: number): SimPlan {
  const random = new Random(seed).fork('plan');
  const numRequests = random.between(8, 36);
  const stormMs = random.between(3_000, 30_000);
  return {
    seed,
    cluster: planCluster(random.fork('cluster'), numLayers),
    faults: planFaults(random.fork('faults')),
    numTenants: random.between(1, 3),
    numRequests,
    // All at the beginning, or as long as there are faults.
    requestEveryMs: (random.pick([0.1, 0.6, 1]) * stormMs) / numRequests,
    stormMs,
  };
}

function planCluster(random: Random, numLayers: number): ClusterPlan {
  const stageCount = random.between(1, STAGES_MAX);
  const numTokensMax = random.pick([8, 16, 32, 64]);
  const pagesOfOne = pagesForTokens(POOLED_TOKENS_MAX);
  return {
    numReplicas: random.between(1, REPLICAS_MAX),
    stageCount,
    layerBoundaries: splitLayers(random, numLayers, stageCount),
    contextLengthMax: POOLED_TOKENS_MAX,
    // From one sequence alone, so that others are preempted for it, to more than there is work for.
    numPages: random.pick([pagesOfOne, pagesOfOne + 4, 2 * pagesOfOne, 6 * pagesOfOne]),
    numTokensMax,
    numLogitRowsMax: random.pick([1, 4, 16]),
    stepsInFlightMax: random.between(1, stageCount),
    limits: {
      ...ENGINE_LIMITS,
      sequencesRunningMax: Math.min(numTokensMax, random.pick([1, 3, 8])),
      sequencesWaitingMax: random.pick([4, 12, 64]),
      draftStepTokensMax: random.pick([1, 4, 8]),
      eventBytesMax: random.pick([200, 2_000, ENGINE_LIMITS.eventBytesMax]),
      stalledWaitingMax: random.pick([0, 2, ENGINE_LIMITS.stalledWaitingMax]),
    },
    latencyMs: random.pick([0.2, 1, 5]),
    storeBytesMax: random.pick([SMALL_STORE_BYTES, LARGE_STORE_BYTES]),
    stepMs: random.pick([0.5, 2, 10]),
    tokenMs: random.pick([0.1, 0.5, 2]),
  };
}

/** Uneven splits, since even ones hide mistakes; no stage is empty. */
function splitLayers(random: Random, numLayers: number, stageCount: number): number[] {
  const boundaries = new Set([0, numLayers]);
  while (boundaries.size < stageCount + 1) {
    boundaries.add(random.between(1, numLayers - 1));
  }
  return [...boundaries].sort((a, b) => a - b);
}

export function assignmentOf(plan: ClusterPlan, release: ModelRelease, stageIndex: number): StageAssignment {
  const { stageCount, contextLengthMax, numPages, numTokensMax, numLogitRowsMax, stepsInFlightMax } = plan;
  return {
    model: release.manifest.model,
    manifestSha256: release.manifestSha256,
    stageIndex,
    stageCount,
    layerStart: plan.layerBoundaries[stageIndex] ?? 0,
    layerEnd: plan.layerBoundaries[stageIndex + 1] ?? 0,
    numPages,
    contextLengthMax,
    numTokensMax,
    numLogitRowsMax,
    stepsInFlightMax,
  };
}
