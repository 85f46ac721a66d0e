/**
 * Which scripts a platform consists of and how they are bound to each other: the one description that the local runtime
 * and the deployed configuration are both made from.
 */
import { replicaName } from '../../shards/client/replica-head.ts';
import type { StageAssignment } from '../../shards/model/assignment.ts';
import type { TrainingRoom } from '../../worker/classify/training-room.ts';
import type { CatalogEntry } from '../../worker/routing/catalog.ts';
import { PUBLIC_MODELS } from '../../worker/routing/tiers.ts';
import { findModel } from '../models/registry.ts';
import { type Plan, stageAssignments } from './plan.ts';

/** Date of the runtime's behaviour that everything is tested with. */
export const COMPATIBILITY_DATE = '2026-11-01';

/**
 * A read into a buffer leaves the buffer where it is. The default detaches it, and after the first detached buffer V8 compiles
 * every loop over a typed array of that isolate with a check for each element: to find the largest logit takes a third longer.
 */
export const COMPATIBILITY_FLAGS: readonly string[] = ['streams_byob_reader_does_not_detach_buffer'];

export const GATEWAY_SCRIPT_NAME = 'lamina-gateway';

/** The script of classifiers: training takes most of an isolate, so it has one of its own. */
export const CLASSIFY_SCRIPT_NAME = 'lamina-classify';

/** Classes of the classifiers' script, each with the binding by which the gateway reaches them. */
const CLASSIFY_CLASSES = { CLASSIFIERS: 'ClassifierShard', CLASSIFIER_INDEX: 'ClassifierIndex' } as const;

/** Class of the Durable Object in every stage script. */
export const STAGE_CLASS = 'StageShard';

/** Classes of the gateway's own objects, each with the binding by which the gateway reaches them. */
const GATEWAY_CLASSES = { RUNS: 'RunShard', PREFIXES: 'PrefixShard' } as const;

/** Public name of the model that runs inside the platform. */
export const LITE_MODEL_ID = PUBLIC_MODELS.lite.id;

/** Tiers whose models are too large for the platform: whatever origins are attached serve them. */
const ORIGIN_TIERS = ['std', 'pro'] as const;

/** Binding of a namespace: the class lives in `scriptName`. */
export interface NamespaceBinding {
  readonly name: string;
  readonly scriptName: string;
  readonly className: string;
}

export interface ScriptTopology {
  readonly name: string;
  readonly variables: Readonly<Record<string, string>>;
  readonly namespaces: readonly NamespaceBinding[];
  /** Classes of Durable Objects that the script itself has. Each is backed by SQLite. */
  readonly classes: readonly string[];
}

export interface Topology {
  readonly gateway: ScriptTopology;
  readonly classify: ScriptTopology;
  /** For each replica its stages in order; the first is the head. */
  readonly replicas: readonly (readonly ScriptTopology[])[];
  readonly catalog: readonly CatalogEntry[];
}

export type LaminaEnvironment = 'local' | 'production';

/** Each replica has scripts of its own: objects of one script may share an isolate, whose pages one replica owns. */
export function stageScriptName(model: string, replicaIndex: number, stageIndex: number): string {
  return replicaIndex === 0 ? `lamina-${model}-s${stageIndex}` : `lamina-${model}-r${replicaIndex}-s${stageIndex}`;
}

/** Name of the embedding projection beside the tokenizer, among the gateway's assets. */
export const PROJECTION_FILE = 'projection.json';

const headBinding = (replicaIndex: number): string => `HEAD_${replicaIndex}`;

export interface TopologyOptions {
  readonly manifestSha256: string;
  readonly environment: LaminaEnvironment;
  /** Rings of the model; 1 by default. */
  readonly numReplicas?: number;
  /** Web origins that may call the API from a browser. */
  readonly corsOrigins?: readonly string[];
  /** For a replica, the stages that compute side by side: all, unless scripts share a thread. */
  readonly numParallelStages?: (replicaIndex: number) => number;
}

/** Names, variables and bindings of every script that serves `plan`. */
export function platformTopology(plan: Plan, options: TopologyOptions): Topology {
  const { manifestSha256, environment, numReplicas = 1, corsOrigins = [] } = options;
  const replicas = Array.from({ length: numReplicas }, (_, replicaIndex) => {
    const numParallelStages = options.numParallelStages?.(replicaIndex) ?? plan.stages.length;
    return replicaStages(plan, replicaIndex, stageAssignments(plan, manifestSha256, numParallelStages));
  });
  const headBindings = replicas.map((_, replicaIndex) => headBinding(replicaIndex));
  const catalog = publicCatalog(plan, headBindings);
  const heads = headBindings.map((name, replicaIndex) => ({
    name,
    scriptName: stageScriptName(plan.model, replicaIndex, 0),
    className: STAGE_CLASS,
  }));
  return {
    gateway: {
      name: GATEWAY_SCRIPT_NAME,
      variables: {
        CATALOG: JSON.stringify(catalog),
        LAMINA_ENVIRONMENT: environment,
        CORS_ORIGINS: corsOrigins.join(','),
      },
      namespaces: [
        ...heads,
        ...bindingsOf(GATEWAY_CLASSES, GATEWAY_SCRIPT_NAME),
        ...bindingsOf(CLASSIFY_CLASSES, CLASSIFY_SCRIPT_NAME),
      ],
      classes: Object.values(GATEWAY_CLASSES),
    },
    classify: {
      name: CLASSIFY_SCRIPT_NAME,
      variables: { CATALOG: JSON.stringify(catalog), TRAINING: JSON.stringify(trainingRoom(plan)) },
      namespaces: heads,
      classes: Object.values(CLASSIFY_CLASSES),
    },
    replicas,
    catalog,
  };
}

/** What the plan leaves for a training: see `worker/classify/training-room.ts`. */
function trainingRoom({ classify }: Plan): TrainingRoom {
  return { labelsMax: classify.labelsMax, trainingBytesMax: classify.trainingBytesMax };
}

function bindingsOf(classes: Readonly<Record<string, string>>, scriptName: string): NamespaceBinding[] {
  return Object.entries(classes).map(([name, className]) => ({ name, scriptName, className }));
}

/** The scripts of one ring, in stage order. */
function replicaStages(plan: Plan, replicaIndex: number, assignments: readonly StageAssignment[]): ScriptTopology[] {
  const stageCount = assignments.length;
  const scriptName = (stageIndex: number): string => stageScriptName(plan.model, replicaIndex, stageIndex % stageCount);
  const stageBinding = (name: string, stageIndex: number): NamespaceBinding => ({
    name,
    scriptName: scriptName(stageIndex),
    className: STAGE_CLASS,
  });
  return assignments.map((assignment): ScriptTopology => {
    const { stageIndex } = assignment;
    // The head also reaches every stage directly: to load, to ask for health, and to drain.
    const followers = stageIndex === 0 ? Array.from({ length: stageCount - 1 }, (_, index) => index + 1) : [];
    return {
      name: scriptName(stageIndex),
      variables: { STAGE: JSON.stringify(assignment), REPLICA: replicaName(replicaIndex) },
      namespaces: [
        stageBinding('SHARD', stageIndex),
        stageBinding('NEXT', stageIndex + 1),
        ...followers.map((follower) => stageBinding(`STAGE_${follower}`, follower)),
      ],
      classes: [STAGE_CLASS],
    };
  });
}

function publicCatalog(plan: Plan, headBindings: string[]): CatalogEntry[] {
  return [
    {
      id: LITE_MODEL_ID,
      tier: 'lite',
      backend: {
        type: 'ring',
        model: plan.model,
        headBindings,
        assetsPath: `/models/${LITE_MODEL_ID}`,
        // A file of the operator's own is not in the registry.
        defaultSampling: findModel(plan.model)?.defaultSampling ?? {},
        ...(findModel(plan.model)?.projectionFile === undefined
          ? {}
          : { projectionPath: `/models/${LITE_MODEL_ID}/${PROJECTION_FILE}` }),
      },
      aliases: [...PUBLIC_MODELS.lite.aliases, plan.model],
      contextLengthMax: plan.contextLength,
      created: 0,
    },
    ...ORIGIN_TIERS.map((tier): CatalogEntry => ({
      id: PUBLIC_MODELS[tier].id,
      tier,
      backend: { type: 'origins' },
      aliases: [...PUBLIC_MODELS[tier].aliases],
      created: 0,
    })),
  ];
}
