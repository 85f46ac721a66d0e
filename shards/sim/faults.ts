/** What can go wrong in a simulation: kinds, how often each happens under a seed, and how often it did. */
import type { Random } from './random.ts';

/** What may happen to one frame on its way. */
export const FRAME_FAULTS = ['drop', 'delay', 'duplicate', 'reorder', 'corrupt', 'cut'] as const;
/** What happens to the cluster now and then. */
export const CLUSTER_FAULTS = [
  /** The isolate is gone and its memory with it; what its store had made durable stays. */
  'kill',
  /** The same, with the page that is being written torn. */
  'kill_while_writing',
  /** The object is gone, the isolate and its weights and pages stay, as after a deploy or an eviction. */
  'reset',
  'partition',
  'slow_stage',
  'full_disk',
  'clock_jump',
  'version_skew',
] as const;
/** What clients do. */
export const CLIENT_FAULTS = ['client_gone', 'slow_reader', 'stream_cut', 'burst'] as const;

export type FrameFault = (typeof FRAME_FAULTS)[number];
export type ClusterFault = (typeof CLUSTER_FAULTS)[number];
export type ClientFault = (typeof CLIENT_FAULTS)[number];
export type FaultKind = FrameFault | ClusterFault | ClientFault;

export const FAULT_KINDS: readonly FaultKind[] = [...FRAME_FAULTS, ...CLUSTER_FAULTS, ...CLIENT_FAULTS];

/**
 * A fault is on in so many of the seeds. With all of them always on, rare combinations would hide behind the most
 * violent one (Groce et al., "Swarm testing", 2012).
 */
const IS_ON_PROBABILITY = 0.4;
/** Seeds without any fault show that the checkers do not need them to be quiet. */
const CALM_PROBABILITY = 0.05;
/** A frame that meets each of the faults with this probability makes a link of some hundred frames fail now and then. */
const FRAME_FAULT_PROBABILITY_MAX = 0.03;
/** True time between two faults of one kind, on average, at the most and the least violent. */
const CLUSTER_FAULT_EVERY_MS = { min: 1_500, max: 30_000 } as const;
const CLIENT_FAULT_PROBABILITY_MAX = 0.25;

export interface FaultPlan {
  /** For each frame. */
  readonly frameProbability: ReadonlyMap<FrameFault, number>;
  /** Mean time between two. */
  readonly clusterEveryMs: ReadonlyMap<ClusterFault, number>;
  /** For each request. */
  readonly clientProbability: ReadonlyMap<ClientFault, number>;
}

/** Chooses for a seed which faults there are and how many of them. */
export function planFaults(random: Random): FaultPlan {
  const isCalm = random.chance(CALM_PROBABILITY);
  const choose = <K>(kinds: readonly K[], rate: () => number): Map<K, number> => {
    const chosen = kinds.map((kind) => [kind, random.chance(IS_ON_PROBABILITY), rate()] as const);
    return new Map(chosen.filter(([, isOn]) => isOn && !isCalm).map(([kind, , value]) => [kind, value]));
  };
  const { min, max } = CLUSTER_FAULT_EVERY_MS;
  return {
    // Squared, so that most seeds have few faults of a kind and some have many.
    frameProbability: choose(FRAME_FAULTS, () => FRAME_FAULT_PROBABILITY_MAX * random.float() ** 2),
    clusterEveryMs: choose(CLUSTER_FAULTS, () => min * (max / min) ** random.float()),
    clientProbability: choose(CLIENT_FAULTS, () => CLIENT_FAULT_PROBABILITY_MAX * random.float()),
  };
}

/** How often each fault was injected. Only what had something to happen to counts. */
export class FaultCounts {
  readonly #counts = new Map<FaultKind, number>(FAULT_KINDS.map((kind) => [kind, 0]));

  add(kind: FaultKind): void {
    this.#counts.set(kind, this.of(kind) + 1);
  }

  of(kind: FaultKind): number {
    return this.#counts.get(kind) ?? 0;
  }

  toRecord(): Record<FaultKind, number> {
    return Object.fromEntries(this.#counts) as Record<FaultKind, number>;
  }
}
