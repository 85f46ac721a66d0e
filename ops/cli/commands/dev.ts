/** `lamina dev`: prepares, starts the platform, says when it is ready, and stops it on a signal. */
import { rm } from 'node:fs/promises';
import { type Platform, startPlatform } from '../../dev/platform.ts';
import { assertPortFree } from '../../dev/port.ts';
import { prepareModel } from '../../dev/prepare.ts';
import { attachLocalOrigins, type OriginFlags } from '../../origin/local-origins.ts';
import { HEADROOM_BYTES } from '../../plan/limits.ts';
import { acquireLock } from '../../support/lock.ts';
import { OperatorError } from '../../support/operator-error.ts';
import { type CommandContext, commandContext, parseCount, resolvePort } from '../context.ts';
import { parseReplicas, type PlanFlags, planWishes } from '../plan-flags.ts';
import { onStopRequest } from '../stop-signal.ts';

export interface DevFlags extends PlanFlags, OriginFlags {
  readonly home?: string;
  readonly port?: string;
  readonly model?: string;
  readonly replicas?: string;
  readonly processes?: string;
  readonly isolateMib?: string;
  readonly cleanState?: boolean;
}

/** One platform per folder: two would write the same state and replace each other's scripts. */
async function lockHome(context: CommandContext): Promise<void> {
  const lock = await acquireLock(context.home.platformLock, 'running lamina dev');
  if (!lock.ok) {
    throw new OperatorError(
      'already_running',
      `lamina dev is already running at ${context.home.root} (pid ${lock.holder.pid}).`,
      'Stop it, or use another folder with --home or LAMINA_HOME, and another port.',
    );
  }
  process.once('exit', lock.release);
}

/** @param stageCount of all replicas together */
function checkProcesses(numProcesses: number, stageCount: number): void {
  if (numProcesses > stageCount) {
    throw new OperatorError(
      'usage',
      `${numProcesses} processes cannot share ${stageCount === 1 ? 'one stage' : `${stageCount} stages`}.`,
      `Use --processes ${stageCount} or less, or more stages (--stages) or replicas (--replicas).`,
    );
  }
}

/** What a plan for larger isolates than Cloudflare's may hold: it runs on this machine and cannot be deployed. */
function isolateWish(isolateMib: string | undefined): { readonly budgetBytes?: number } {
  const mib = parseCount('--isolate-mib', isolateMib);
  return mib === undefined ? {} : { budgetBytes: Math.max(0, mib * 2 ** 20 - HEADROOM_BYTES) };
}

/** Resolves when the platform is ready; it then runs until a signal ends the process. */
export async function devCommand(flags: DevFlags): Promise<void> {
  const context = commandContext(flags);
  const port = resolvePort(flags.port, context.env);
  const wishes = { ...planWishes(flags), ...isolateWish(flags.isolateMib) };
  const numProcesses = parseCount('--processes', flags.processes) ?? 1;
  const numReplicas = parseReplicas(flags.replicas);

  let platform: Platform | null = null;
  onStopRequest((signalExitCode) => {
    context.progress.clear();
    if (platform === null) {
      // Whatever was being made is unfinished and is known to be; children are ended by their `exit` handlers.
      process.exit(signalExitCode);
    }
    void platform.stop().finally(() => process.exit(0));
  });

  await lockHome(context);
  await assertPortFree(port);
  const origins = await attachLocalOrigins(flags, context.progress);
  const prepared = await prepareModel(flags.model, wishes, context);
  checkProcesses(numProcesses, prepared.plan.stages.length * numReplicas);
  const { env, home, progress } = context;
  if (flags.cleanState === true) {
    await rm(home.state, { recursive: true, force: true });
  }
  const onLog = (line: string): void => progress.info(line);
  const sizes = { numReplicas, numProcesses };
  const apiKeys = env['API_KEYS'] ?? '';
  platform = await startPlatform({ home, env, progress, prepared, port, ...sizes, origins, apiKeys, onLog });
  context.print(`Lamina is ready at http://127.0.0.1:${platform.url.port}`);
}
