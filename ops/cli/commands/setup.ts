/** `lamina setup`: everything that `lamina dev` needs, without starting it. */
import { prepareModel } from '../../dev/prepare.ts';
import { commandContext } from '../context.ts';
import { type PlanFlags, planWishes } from '../plan-flags.ts';

export async function setupCommand(
  flags: PlanFlags & { readonly home?: string; readonly model?: string },
): Promise<void> {
  const context = commandContext(flags);
  const prepared = await prepareModel(flags.model, planWishes(flags), context);
  context.print(`${prepared.plan.model} is set up in ${context.home.root}. Start it with: npm start`);
}
