/** `lamina deploy`: the configurations of the deployed platform, checked, and deployed. */
import path from 'node:path';
import { deploy, dryRun, writeDeployment } from '../../deploy/deploy.ts';
import { startRollout } from '../../deploy/rollout.ts';
import { prepareModel } from '../../dev/prepare.ts';
import { secretNames } from '../../origin/attached-origins.ts';
import { readOriginsFile } from '../../origin/origins-file.ts';
import { GATEWAY_SCRIPT_NAME, LITE_MODEL_ID } from '../../plan/topology.ts';
import { OperatorError } from '../../support/operator-error.ts';
import type { AdminServer } from '../admin-client.ts';
import { commandContext } from '../context.ts';
import { parseReplicas, type PlanFlags, planWishes } from '../plan-flags.ts';

export interface DeployFlags extends PlanFlags {
  readonly home?: string;
  readonly model?: string;
  readonly out?: string;
  readonly replicas?: string;
  readonly origins?: string;
  readonly corsOrigin?: readonly string[];
  readonly dryRun?: boolean;
  /** True and false as said, undefined when nothing was said. */
  readonly drain?: boolean;
  readonly url?: string;
  readonly key?: string;
}

/** What wrangler must be told once, by hand: secrets are never in a file that is deployed. */
function secretCommands(names: readonly string[]): string[] {
  return names.map((name) => `  npx wrangler secret put ${name} --name ${GATEWAY_SCRIPT_NAME}`);
}

/** A web origin as browsers write it in the header `Origin`: it is compared by its text. */
function parseCorsOrigin(text: string): string {
  if (!URL.canParse(text) || new URL(text).origin !== text || !/^https?:/.test(text)) {
    throw new OperatorError(
      'usage',
      `"${text}" is not a web origin.`,
      'Give scheme, host and perhaps port, without a path: --cors-origin https://app.example.com',
    );
  }
  return text;
}

/** By whom replicas are drained; null when they are not. They are when it is said how: a first deployment has nobody to ask. */
function drainServer({ drain, url, key }: DeployFlags): AdminServer | null {
  if (drain === false || (drain === undefined && url === undefined)) {
    return null;
  }
  const adminKey = key ?? process.env['LAMINA_ADMIN_KEY'];
  if (url === undefined || adminKey === undefined) {
    throw new OperatorError(
      'usage',
      "Draining needs the gateway that is deployed and an operator's key.",
      'Give --url https://… and --key (or LAMINA_ADMIN_KEY), or deploy with --no-drain.',
    );
  }
  return { url, key: adminKey };
}

export async function deployCommand(flags: DeployFlags): Promise<void> {
  const context = commandContext(flags);
  const { env, progress, print } = context;
  const numReplicas = parseReplicas(flags.replicas);
  const server = drainServer(flags);
  const corsOrigins = (flags.corsOrigin ?? []).map(parseCorsOrigin);
  const deployed = flags.origins === undefined ? null : await readOriginsFile(path.resolve(flags.origins));
  const prepared = await prepareModel(flags.model, planWishes(flags), context);
  const folder = flags.out === undefined ? context.home.deploy : path.resolve(flags.out);
  const scripts = await writeDeployment(folder, prepared, { origins: deployed, numReplicas, corsOrigins });
  const options = { folder, scripts, env, progress };
  if (flags.dryRun === true) {
    await dryRun(options);
    print(`The configurations are in ${folder}. Every script bundles; nothing was uploaded.`);
    return;
  }
  const rollout = server === null ? null : await startRollout({ server, model: LITE_MODEL_ID, progress });
  if (rollout === null) {
    print('Replicas are not drained: streams that run pause while theirs is replaced (--drain --url <gateway>).');
  }
  await deploy(options, rollout);
  print('Deployed. The gateway accepts no key until it has some:');
  secretCommands(['API_KEYS']).forEach((line) => print(line));
  print('and nobody may drain a replica until there are keys for operators:');
  secretCommands(['ADMIN_KEYS']).forEach((line) => print(line));
  const originSecrets = secretNames(deployed?.origins ?? []);
  if (originSecrets.length > 0) {
    print('and no origin accepts the gateway until it has their secrets:');
    secretCommands(originSecrets).forEach((line) => print(line));
  }
}
