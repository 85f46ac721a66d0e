/** `lamina dev`: prepares, starts the platform, says when it is ready, and stops it on a signal. */
import { type Platform, startPlatform } from '../../dev/platform.ts';
import { assertPortFree } from '../../dev/port.ts';
import { prepareModel } from '../../dev/prepare.ts';
import { attachLocalOrigins, type OriginFlags } from '../../origin/local-origins.ts';
import { acquireLock } from '../../support/lock.ts';
import { OperatorError } from '../../support/operator-error.ts';
import { type CommandContext, commandContext, resolvePort } from '../context.ts';
import { type PlanFlags, planWishes } from '../plan-flags.ts';
import { onStopRequest } from '../stop-signal.ts';

export interface DevFlags extends PlanFlags, OriginFlags {
  readonly home?: string;
  readonly port?: string;
  readonly model?: string;
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

/** Resolves when the platform is ready; it then runs until a signal ends the process. */
export async function devCommand(flags: DevFlags): Promise<void> {
  const context = commandContext(flags);
  const port = resolvePort(flags.port, context.env);
  const wishes = planWishes(flags);

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
  const { env, home, progress } = context;
  const onLog = (line: string): void => progress.info(line);
  platform = await startPlatform({ home, env, progress, prepared, port, origins, onLog });
  context.print(`Lamina is ready at http://127.0.0.1:${platform.url.port}`);
}
