/** The flags that shape a plan, common to `dev`, `setup`, `plan` and `deploy`. */
import { REPLICA_COUNT_MAX } from '../../worker/routing/catalog.ts';
import type { PlanWishes } from '../dev/prepare.ts';
import { OperatorError } from '../support/operator-error.ts';
import { parseCount } from './context.ts';

export interface PlanFlags {
  readonly context?: string;
  readonly kvTokens?: string;
  readonly stages?: string;
}

export function planWishes(flags: PlanFlags): PlanWishes {
  const contextLength = parseCount('--context', flags.context);
  const kvTokens = parseCount('--kv-tokens', flags.kvTokens);
  const stageCount = parseCount('--stages', flags.stages);
  return {
    ...(contextLength === undefined ? {} : { contextLength }),
    ...(kvTokens === undefined ? {} : { kvTokens }),
    ...(stageCount === undefined ? {} : { stageCount }),
  };
}

/** Of `--replicas`: rings of the model that are started or deployed. */
export function parseReplicas(text: string | undefined): number {
  const numReplicas = parseCount('--replicas', text) ?? 1;
  if (numReplicas > REPLICA_COUNT_MAX) {
    throw new OperatorError(
      'usage',
      `A model has at most ${REPLICA_COUNT_MAX} replicas, not ${numReplicas}.`,
      `Use --replicas ${REPLICA_COUNT_MAX} or less.`,
    );
  }
  return numReplicas;
}
