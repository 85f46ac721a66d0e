/** What can be asked about another process of this machine. */
import { readFileSync } from 'node:fs';
import { systemCodeOf } from './operator-error.ts';

/**
 * State, parent and start time of a process: fields 3, 4 and 22 of `/proc/<pid>/stat` (proc_pid_stat(5)). The name in field 2 may
 * hold spaces and parentheses, so fields are counted from the last `)`. Null where there is no such file.
 */
function readProcess(
  pid: number,
): { readonly isZombie: boolean; readonly parent: number; readonly start: string | null } | null {
  try {
    const line = readFileSync(`/proc/${pid}/stat`, 'utf8');
    const fields = line.slice(line.lastIndexOf(')') + 2).split(' ');
    return { isZombie: fields[0] === 'Z', parent: Number(fields[1]), start: fields[19] ?? null };
  } catch {
    return null;
  }
}

/** Whether a process runs. A zombie (dead, but not yet collected by its parent) does not. */
export function isProcessRunning(pid: number): boolean {
  try {
    process.kill(pid, 0);
  } catch (error) {
    // EPERM: it runs, under another user.
    return systemCodeOf(error) === 'EPERM';
  }
  return readProcess(pid)?.isZombie !== true;
}

/**
 * When a process started, in the system's own unit; null where that cannot be read. It tells a process from an earlier
 * one with the same pid.
 */
export function processStart(pid: number): string | null {
  return readProcess(pid)?.start ?? null;
}

/** The parent of a process; null where that cannot be read. */
export function parentOf(pid: number): number | null {
  return readProcess(pid)?.parent ?? null;
}
