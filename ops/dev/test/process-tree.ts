/** Which processes a test has started, and whether they are gone. */
import { execFileSync } from 'node:child_process';
import { createServer } from 'node:net';
import { isProcessRunning } from '../../support/processes.ts';

/** A process that was killed is gone within milliseconds; this only bounds a failing test. */
const GONE_MS_MAX = 15_000;
const POLL_MS = 20;

/** All descendants of a process that run now. */
export function descendantsOf(root: number): number[] {
  const lines = execFileSync('ps', ['-A', '-o', 'pid=,ppid='], { encoding: 'utf8' }).trim().split('\n');
  const processes = lines.map((line) => line.trim().split(/\s+/).map(Number) as [pid: number, parent: number]);
  const found: number[] = [];
  const waiting = [root];
  for (let parent = waiting.pop(); parent !== undefined; parent = waiting.pop()) {
    const children = processes.filter(([, ppid]) => ppid === parent).map(([pid]) => pid);
    found.push(...children);
    waiting.push(...children);
  }
  return found.filter(isProcessRunning);
}

/** Program and arguments of a process. */
export function commandOf(pid: number): string {
  return execFileSync('ps', ['-o', 'args=', '-p', String(pid)], { encoding: 'utf8' }).trim();
}

/** Waits until `read` gives what is wanted or time is up, and returns what it gave last. */
async function poll<T>(read: () => T | Promise<T>, isWanted: (value: T) => boolean): Promise<T> {
  const deadline = performance.now() + GONE_MS_MAX;
  for (;;) {
    const value = await read();
    if (isWanted(value) || performance.now() > deadline) {
      return value;
    }
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
}

/** Those of the processes that are still there when all had time to go. Empty when they are gone. */
export function survivorsOf(pids: readonly number[]): Promise<number[]> {
  return poll(
    () => pids.filter(isProcessRunning),
    (running) => running.length === 0,
  );
}

/** Whether a port can be listened on. */
export function isPortFree(port: number): Promise<boolean> {
  return poll(
    () =>
      new Promise<boolean>((resolve) => {
        const server = createServer();
        server.once('error', () => resolve(false));
        server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)));
      }),
    (isFree) => isFree,
  );
}
