/**
 * A lock file that names its holder. It appears with its contents in one step (a hard link to a finished file), and a
 * lock whose holder is dead is taken over.
 *
 * Taking over must not remove the fresh lock of somebody who was faster. So a stale lock is replaced only under a claim:
 * another lock, named after the stale one's contents, which are unique. Whoever holds the claim looks at the lock again,
 * and nobody else may replace it meanwhile.
 */
import { randomUUID } from 'node:crypto';
import { readFileSync, unlinkSync } from 'node:fs';
import { link, mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { OperatorError, systemCodeOf } from './operator-error.ts';
import { isProcessRunning, processStart } from './processes.ts';
import { sha256Of, unfinishedPath, writeFileAtomic } from './files.ts';

export interface LockHolder {
  readonly pid: number;
  /** When the process started, in the system's own unit; null where that cannot be read. A reused pid differs here. */
  readonly processStart: string | null;
  /** What the holder does, for the message that the loser prints. */
  readonly purpose: string;
}

export type LockResult =
  { readonly ok: true; readonly release: () => void } | { readonly ok: false; readonly holder: LockHolder };

/** Characters of the hash in the name of a claim. */
const CLAIM_CHARS = 16;

/** A lock may be released, or taken over by another, while this process looks at it; a few rounds settle it. */
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

/** Takes the lock, or says who has it. `release` is synchronous so that it can run while the process exits. */
export async function acquireLock(lockPath: string, purpose: string): Promise<LockResult> {
  await mkdir(path.dirname(lockPath), { recursive: true });
  const self: LockHolder = { pid: process.pid, processStart: processStart(process.pid), purpose };
  const text = JSON.stringify({ ...self, nonce: randomUUID() });
  for (let attempt = 0; attempt < ATTEMPTS_MAX; attempt += 1) {
    if (await createLock(lockPath, text)) {
      return { ok: true, release: () => releaseLock(lockPath, text) };
    }
    const found = await readFile(lockPath, 'utf8').catch(() => null);
    const holder = found === null ? null : parseHolder(found);
    if (holder !== null && isAlive(holder)) {
      return { ok: false, holder };
    }
    if (found !== null) {
      const claim = await acquireLock(`${lockPath}.${sha256Of(found).slice(0, CLAIM_CHARS)}.claim`, purpose);
      if (!claim.ok) {
        // It is about to hold the lock.
        return claim;
      }
      const isStillStale = (await readFile(lockPath, 'utf8').catch(() => null)) === found;
      if (isStillStale) {
        await writeFileAtomic(lockPath, text);
      }
      claim.release();
      if (isStillStale) {
        return { ok: true, release: () => releaseLock(lockPath, text) };
      }
    }
  }
  throw new Error(`The lock ${lockPath} could not be taken in ${ATTEMPTS_MAX} attempts.`);
}

/** Creates the lock with its contents, unless there is one. */
async function createLock(lockPath: string, text: string): Promise<boolean> {
  const candidate = unfinishedPath(lockPath);
  await writeFile(candidate, text);
  try {
    await link(candidate, lockPath);
    return true;
  } catch (error) {
    if (systemCodeOf(error) === 'EEXIST') {
      return false;
    }
    throw error;
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

/** How often a waiting process looks whether the lock is free. */
const WAIT_STEP_MS = 200;

export interface LockWait {
  /** How long to wait for another holder to finish; at once by default. */
  readonly waitMs?: number;
}

async function acquireWithin(lockPath: string, purpose: string, waitMs: number): Promise<LockResult> {
  const deadlineMs = performance.now() + waitMs;
  for (;;) {
    const lock = await acquireLock(lockPath, purpose);
    if (lock.ok || performance.now() >= deadlineMs) {
      return lock;
    }
    await sleep(WAIT_STEP_MS);
  }
}

/** Does `work` while holding the lock; says who holds it when somebody else does. */
export async function withLock<T>(
  lockPath: string,
  purpose: string,
  work: () => Promise<T>,
  { waitMs = 0 }: LockWait = {},
): Promise<T> {
  const lock = await acquireWithin(lockPath, purpose, waitMs);
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
