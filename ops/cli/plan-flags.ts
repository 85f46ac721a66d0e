/** The flags that shape a plan, common to `dev`, `setup`, `plan` and `deploy`. */
import type { PlanWishes } from '../dev/prepare.ts';
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
