/**
 * A folder that appears as a whole or not at all: it is written under another name, flushed to disk, and renamed at the
 * end. Whoever finds the folder under its final name can trust that it is complete.
 */
import { mkdir, open, readdir, rename, rm } from 'node:fs/promises';
import path from 'node:path';

const PARTIAL_SUFFIX = '.partial-';
const REPLACED_SUFFIX = '.replaced-';

/**
 * Calls `fill` with an empty folder and then moves it to `target`, replacing what is there. When `fill` throws, nothing
 * remains. What processes that were killed have left behind for the same target is removed.
 */
export async function writeFolderAtomically<T>(target: string, fill: (dir: string) => Promise<T>): Promise<T> {
  const resolved = path.resolve(target);
  const partial = `${resolved}${PARTIAL_SUFFIX}${process.pid}`;
  await mkdir(path.dirname(resolved), { recursive: true });
  await removeLeftovers(resolved);
  await mkdir(partial);
  try {
    const result = await fill(partial);
    await syncFolder(partial);
    await moveIntoPlace(partial, resolved);
    return result;
  } catch (error) {
    await rm(partial, { recursive: true, force: true });
    throw error;
  }
}

/** Flushes a folder with all its files. */
async function syncFolder(dir: string): Promise<void> {
  const names = await readdir(dir);
  for (const name of [...names, '.']) {
    const handle = await open(path.join(dir, name), 'r');
    await handle.sync();
    await handle.close();
  }
}

/** A folder with content cannot be renamed over, so an old one steps aside first. */
async function moveIntoPlace(partial: string, target: string): Promise<void> {
  const replaced = `${target}${REPLACED_SUFFIX}${process.pid}`;
  await rename(target, replaced).catch((error: unknown) => {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') {
      throw error;
    }
  });
  await rename(partial, target);
  await rm(replaced, { recursive: true, force: true });
  const parent = await open(path.dirname(target), 'r');
  await parent.sync();
  await parent.close();
}

async function removeLeftovers(target: string): Promise<void> {
  const parent = path.dirname(target);
  const base = path.basename(target);
  for (const name of await readdir(parent)) {
    const suffix = [PARTIAL_SUFFIX, REPLACED_SUFFIX].find((candidate) => name.startsWith(base + candidate));
    const pid = suffix === undefined ? NaN : Number(name.slice(base.length + suffix.length));
    if (Number.isSafeInteger(pid) && pid > 0 && (pid === process.pid || !isAlive(pid))) {
      await rm(path.join(parent, name), { recursive: true, force: true });
    }
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    // EPERM: it exists, but belongs to somebody else.
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}
