/** `lamina plan`: the split of a model into stages, with the arithmetic. */
import { prepareModel } from '../../dev/prepare.ts';
import { describePlan } from '../../plan/describe-plan.ts';
import { commandContext } from '../context.ts';
import { parseReplicas, type PlanFlags, planWishes } from '../plan-flags.ts';

export async function planCommand(
  flags: PlanFlags & {
    readonly home?: string;
    readonly model?: string;
    readonly replicas?: string;
    readonly json?: boolean;
  },
): Promise<void> {
  const context = commandContext(flags);
  const numReplicas = parseReplicas(flags.replicas);
  const { plan, manifest } = await prepareModel(flags.model, planWishes(flags), context);
  if (flags.json === true) {
    context.print(JSON.stringify({ ...plan, numReplicas }, null, 2));
    return;
  }
  describePlan(plan, manifest.config, numReplicas).forEach(({ text, isHeading }) =>
    context.print(isHeading ? context.paint('bold', text) : text),
  );
}
