/**
 * Which scripts a platform consists of and how they are bound to each other: the one description that the local runtime
 * and the deployed configuration are both made from.
 */
import type { CatalogEntry } from '../../worker/routing/catalog.ts';
import { PUBLIC_MODELS } from '../../worker/routing/tiers.ts';
import { type Plan, stageAssignments } from './plan.ts';

/** Date of the runtime's behaviour that everything is tested with. */
export const COMPATIBILITY_DATE = '2026-11-01';

export const GATEWAY_SCRIPT_NAME = 'lamina-gateway';

/** Class of the Durable Object in every stage script. */
export const STAGE_CLASS = 'StageShard';

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
  /** In stage order; the first is the head. */
  readonly stages: readonly ScriptTopology[];
  readonly catalog: readonly CatalogEntry[];
}

export type LaminaEnvironment = 'local' | 'production';

export function stageScriptName(model: string, stageIndex: number): string {
  return `lamina-${model}-s${stageIndex}`;
}

/**
 * Names, variables and bindings of every script that serves `plan`.
 * @param numParallelStages stages that compute side by side: all, unless scripts share a thread
 */
export function platformTopology(
  plan: Plan,
  manifestSha256: string,
  environment: LaminaEnvironment,
  numParallelStages = plan.stages.length,
): Topology {
  const stageCount = plan.stages.length;
  const scriptName = (stageIndex: number): string => stageScriptName(plan.model, stageIndex % stageCount);
  const stageBinding = (name: string, stageIndex: number): NamespaceBinding => ({
    name,
    scriptName: scriptName(stageIndex),
    className: STAGE_CLASS,
  });
  const stages = stageAssignments(plan, manifestSha256, numParallelStages).map((assignment): ScriptTopology => {
    const { stageIndex } = assignment;
    // The head also reaches every stage directly: to load, to ask for health, and to drain.
    const followers = stageIndex === 0 ? Array.from({ length: stageCount - 1 }, (_, index) => index + 1) : [];
    return {
      name: scriptName(stageIndex),
      variables: { STAGE: JSON.stringify(assignment) },
      namespaces: [
        stageBinding('SHARD', stageIndex),
        stageBinding('NEXT', stageIndex + 1),
        ...followers.map((follower) => stageBinding(`STAGE_${follower}`, follower)),
      ],
      classes: [STAGE_CLASS],
    };
  });
  const catalog: CatalogEntry[] = [
    {
      id: LITE_MODEL_ID,
      tier: 'lite',
      backend: {
        type: 'ring',
        model: plan.model,
        headBinding: 'HEAD_0',
        assetsPath: `/models/${LITE_MODEL_ID}`,
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
  return {
    gateway: {
      name: GATEWAY_SCRIPT_NAME,
      variables: { CATALOG: JSON.stringify(catalog), LAMINA_ENVIRONMENT: environment },
      namespaces: [stageBinding('HEAD_0', 0)],
      classes: [],
    },
    stages,
    catalog,
  };
}
