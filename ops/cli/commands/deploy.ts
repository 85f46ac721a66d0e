/** `lamina deploy`: the configurations of the deployed platform, checked, and deployed. */
import path from 'node:path';
import { deploy, dryRun, writeDeployment } from '../../deploy/deploy.ts';
import { prepareModel } from '../../dev/prepare.ts';
import { GATEWAY_SCRIPT_NAME } from '../../plan/topology.ts';
import { commandContext } from '../context.ts';
import { type PlanFlags, planWishes } from '../plan-flags.ts';

export interface DeployFlags extends PlanFlags {
  readonly home?: string;
  readonly model?: string;
  readonly out?: string;
  readonly dryRun?: boolean;
}

export async function deployCommand(flags: DeployFlags): Promise<void> {
  const context = commandContext(flags);
  const { env, progress, print } = context;
  const prepared = await prepareModel(flags.model, planWishes(flags), context);
  const folder = flags.out === undefined ? context.home.deploy : path.resolve(flags.out);
  const scripts = await writeDeployment(folder, prepared);
  const options = { folder, scripts, env, progress };
  if (flags.dryRun === true) {
    await dryRun(options);
    print(`The configurations are in ${folder}. Every script bundles; nothing was uploaded.`);
    return;
  }
  await deploy(options);
  print(`Deployed. The gateway accepts no key until it has some:`);
  print(`  npx wrangler secret put API_KEYS --name ${GATEWAY_SCRIPT_NAME}`);
}
