/**
 * A lock file that names its holder. It appears with its contents in one step (a hard link to a finished file), and a
 * lock whose holder is dead is taken over.
 */
import { readFileSync, unlinkSync } from 'node:fs';
import { link, mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { OperatorError, systemCodeOf } from './operator-error.ts';
import { isProcessRunning, processStart } from './processes.ts';
import { unfinishedPath } from './files.ts';

export interface LockHolder {
  readonly pid: number;
  /** When the process started, in the system's own unit; null where that cannot be read. A reused pid differs here. */
  readonly processStart: string | null;
  /** What the holder does, for the message that the loser prints. */
  readonly purpose: string;
}

export type LockResult =
  { readonly ok: true; readonly release: () => void } | { readonly ok: false; readonly holder: LockHolder };

/** Two takers may each remove a stale lock that the other has just replaced; a few rounds settle it. */
const ATTEMPTS_MAX = 10;

/** Whether the very process that wrote the lock still runs: a container that restarts gives the same pids again. */
function isAlive(holder: LockHolder): boolean {
  const start = processStart(holder.pid);
  return (
    isProcessRunning(holder.pid) && (start === null || holder.processStart === null || start === holder.processStart)
  );
}

function parseHolder(text: string): LockHolder | null {
  try {
    const value = JSON.parse(text) as Partial<LockHolder>;
    return typeof value.pid === 'number' && Number.isInteger(value.pid) && value.pid > 0
      ? { pid: value.pid, processStart: value.processStart ?? null, purpose: value.purpose ?? '' }
      : null;
  } catch {
    return null;
  }
}

/**
 * Removes the lock if it still is the dead one that was read. It is renamed first, so that of two takers one has it;
 * when that turns out to be another process's fresh lock, it is put back.
 */
async function removeStale(lockPath: string, staleText: string): Promise<void> {
  const aside = unfinishedPath(lockPath);
  try {
    await rename(lockPath, aside);
  } catch {
    return;
  }
  if ((await readFile(aside, 'utf8')) !== staleText) {
    await link(aside, lockPath).catch(() => undefined);
  }
  await rm(aside, { force: true });
}

/** Takes the lock, or says who has it. `release` is synchronous so that it can run while the process exits. */
export async function acquireLock(lockPath: string, purpose: string): Promise<LockResult> {
  await mkdir(path.dirname(lockPath), { recursive: true });
  const self: LockHolder = { pid: process.pid, processStart: processStart(process.pid), purpose };
  const text = JSON.stringify(self);
  const candidate = unfinishedPath(lockPath);
  await writeFile(candidate, text);
  try {
    for (let attempt = 0; attempt < ATTEMPTS_MAX; attempt += 1) {
      try {
        await link(candidate, lockPath);
        return { ok: true, release: () => releaseLock(lockPath, text) };
      } catch (error) {
        if (systemCodeOf(error) !== 'EEXIST') {
          throw error;
        }
      }
      const found = await readFile(lockPath, 'utf8').catch(() => null);
      if (found === null) {
        continue;
      }
      const holder = parseHolder(found);
      if (holder !== null && isAlive(holder)) {
        return { ok: false, holder };
      }
      await removeStale(lockPath, found);
    }
    throw new Error(`The lock ${lockPath} could not be taken in ${ATTEMPTS_MAX} attempts.`);
  } finally {
    await rm(candidate, { force: true });
  }
}

function releaseLock(lockPath: string, text: string): void {
  try {
    // A lock that somebody else holds by now is not ours to remove.
    if (readFileSync(lockPath, 'utf8') === text) {
      unlinkSync(lockPath);
    }
  } catch {
    // Already gone.
  }
}

/** Does `work` while holding the lock; says who holds it when somebody else does. */
export async function withLock<T>(lockPath: string, purpose: string, work: () => Promise<T>): Promise<T> {
  const lock = await acquireLock(lockPath, purpose);
  if (!lock.ok) {
    throw new OperatorError(
      'already_running',
      `Another process (pid ${lock.holder.pid}) is ${lock.holder.purpose}.`,
      'Wait until it has finished, or stop it, then try again.',
    );
  }
  // A signal ends the process by exiting.
  process.once('exit', lock.release);
  try {
    return await work();
  } finally {
    process.removeListener('exit', lock.release);
    lock.release();
  }
}
