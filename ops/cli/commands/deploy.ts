/** `lamina deploy`: the configurations of the deployed platform, checked, and deployed. */
import path from 'node:path';
import { deploy, dryRun, writeDeployment } from '../../deploy/deploy.ts';
import { prepareModel } from '../../dev/prepare.ts';
import { secretNames } from '../../origin/attached-origins.ts';
import { readOriginsFile } from '../../origin/origins-file.ts';
import { GATEWAY_SCRIPT_NAME } from '../../plan/topology.ts';
import { commandContext } from '../context.ts';
import { type PlanFlags, planWishes } from '../plan-flags.ts';

export interface DeployFlags extends PlanFlags {
  readonly home?: string;
  readonly model?: string;
  readonly out?: string;
  readonly origins?: string;
  readonly dryRun?: boolean;
}

/** What wrangler must be told once, by hand: secrets are never in a file that is deployed. */
function secretCommands(names: readonly string[]): string[] {
  return names.map((name) => `  npx wrangler secret put ${name} --name ${GATEWAY_SCRIPT_NAME}`);
}

export async function deployCommand(flags: DeployFlags): Promise<void> {
  const context = commandContext(flags);
  const { env, progress, print } = context;
  const deployed = flags.origins === undefined ? null : await readOriginsFile(path.resolve(flags.origins));
  const prepared = await prepareModel(flags.model, planWishes(flags), context);
  const folder = flags.out === undefined ? context.home.deploy : path.resolve(flags.out);
  const scripts = await writeDeployment(folder, prepared, deployed);
  const options = { folder, scripts, env, progress };
  if (flags.dryRun === true) {
    await dryRun(options);
    print(`The configurations are in ${folder}. Every script bundles; nothing was uploaded.`);
    return;
  }
  await deploy(options);
  print('Deployed. The gateway accepts no key until it has some:');
  secretCommands(['API_KEYS']).forEach((line) => print(line));
  const originSecrets = secretNames(deployed?.origins ?? []);
  if (originSecrets.length > 0) {
    print('and no origin accepts the gateway until it has their secrets:');
    secretCommands(originSecrets).forEach((line) => print(line));
  }
}
