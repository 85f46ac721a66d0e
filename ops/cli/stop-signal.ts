/**
 * Tells a long-running command to stop: on a signal, and also when whoever was to pass the signal on is gone. npm starts
 * a script through a shell, and not every shell hands a signal to its child before it dies of it.
 */
import { constants } from 'node:os';
import { parentOf } from '../support/processes.ts';

const STOP_SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

/** How often the parent is looked at. It only matters after a parent's violent death. */
const PARENT_CHECK_MS = 500;

/**
 * Calls `stop` once, with the exit code that tells of the signal. A second signal ends the process at once: whoever
 * sends it is tired of waiting.
 */
export function onStopRequest(stop: (signalExitCode: number) => void): void {
  let isStopping = false;
  const request = (signal: (typeof STOP_SIGNALS)[number]): void => {
    const exitCode = 128 + constants.signals[signal];
    if (isStopping) {
      process.exit(exitCode);
    }
    isStopping = true;
    stop(exitCode);
  };
  for (const signal of STOP_SIGNALS) {
    process.on(signal, () => request(signal));
  }

  // Started by the launcher, which holds the other end of this channel.
  if (process.connected) {
    process.once('disconnect', () => request('SIGTERM'));
  }
  // Started by npm: it waits for its scripts, so a new parent means that npm or its shell was killed. Without npm a new
  // parent is normal (`lamina dev &` in a terminal that is then closed).
  if (process.env['npm_lifecycle_event'] !== undefined && !process.connected) {
    const before = ancestry();
    const timer = setInterval(() => {
      if (ancestry() !== before) {
        clearInterval(timer);
        request('SIGTERM');
      }
    }, PARENT_CHECK_MS);
    timer.unref();
  }
}

/** The shell that npm started, and npm itself where the system tells. */
function ancestry(): string {
  return `${process.ppid} ${String(parentOf(process.ppid))}`;
}
