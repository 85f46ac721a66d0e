/**
 * Files that are either whole or absent. Everything is written beside its final place, flushed to the disk and then
 * renamed, because a rename inside one folder is the only step that a crash cannot cut in half.
 */
import { createHash, randomUUID } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { mkdir, open, readdir, rename, rm, stat } from 'node:fs/promises';
import path from 'node:path';
import { isProcessRunning } from './processes.ts';

/** Start of the name of every unfinished file and folder; the pid of its maker follows. */
const UNFINISHED_PREFIX = '.unfinished-';
const UNFINISHED_NAME = /^\.unfinished-(\d+)-/;

/** Read size while hashing: large enough that the hash, not the system call, is what takes the time. */
const HASH_CHUNK_BYTES = 1024 * 1024;

/** A name beside `finalPath` that no other process uses. */
export function unfinishedPath(finalPath: string): string {
  const name = `${UNFINISHED_PREFIX}${process.pid}-${randomUUID()}-${path.basename(finalPath)}`;
  return path.join(path.dirname(finalPath), name);
}

/** Flushes one file or folder to the disk. Opening a folder for this is refused on some systems, where it is not needed. */
async function flush(target: string, isFolder: boolean): Promise<void> {
  if (isFolder && process.platform === 'win32') {
    return;
  }
  const handle = await open(target, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

async function flushTree(folder: string): Promise<void> {
  for (const entry of await readdir(folder, { withFileTypes: true })) {
    const child = path.join(folder, entry.name);
    await (entry.isDirectory() ? flushTree(child) : flush(child, false));
  }
  await flush(folder, true);
}

/** Replaces `finalPath` by `contents`, so that a reader sees the old bytes or the new ones and nothing else. */
export async function writeFileAtomic(finalPath: string, contents: string | Uint8Array): Promise<void> {
  await mkdir(path.dirname(finalPath), { recursive: true });
  const unfinished = unfinishedPath(finalPath);
  const handle = await open(unfinished, 'wx');
  try {
    await handle.writeFile(contents);
    await handle.sync();
  } finally {
    await handle.close();
  }
  await rename(unfinished, finalPath);
  await flush(path.dirname(finalPath), true);
}

/** Moves a finished file into place after flushing it. */
export async function commitFile(unfinished: string, finalPath: string): Promise<void> {
  await flush(unfinished, false);
  await rename(unfinished, finalPath);
  await flush(path.dirname(finalPath), true);
}

/** Moves a finished folder into place after flushing everything in it; an older folder of that name is removed. */
export async function commitFolder(unfinished: string, finalPath: string): Promise<void> {
  await flushTree(unfinished);
  const replaced = unfinishedPath(finalPath);
  const hadOlder = await rename(finalPath, replaced).then(
    () => true,
    () => false,
  );
  await rename(unfinished, finalPath);
  await flush(path.dirname(finalPath), true);
  if (hadOlder) {
    await rm(replaced, { recursive: true, force: true });
  }
}

/** Deletes what processes that are gone left half-written in `folder`. */
export async function removeAbandoned(folder: string): Promise<void> {
  const names = await readdir(folder).catch(() => []);
  const abandoned = names.filter((name) => {
    const pid = UNFINISHED_NAME.exec(name)?.[1];
    return pid !== undefined && !isProcessRunning(Number(pid));
  });
  await Promise.all(abandoned.map((name) => rm(path.join(folder, name), { recursive: true, force: true })));
}

/** Lower-case hex SHA-256 of a file, read in pieces. `onBytes` gets the size of each piece. */
export async function sha256OfFile(
  file: string,
  onBytes: (numBytes: number) => void = () => undefined,
): Promise<string> {
  const hash = createHash('sha256');
  for await (const chunk of createReadStream(file, { highWaterMark: HASH_CHUNK_BYTES })) {
    const bytes = chunk as Uint8Array;
    hash.update(bytes);
    onBytes(bytes.length);
  }
  return hash.digest('hex');
}

export function sha256Of(contents: string | Uint8Array): string {
  return createHash('sha256').update(contents).digest('hex');
}

/** Size of a file in bytes, or null when there is no such file. */
export async function fileBytes(file: string): Promise<number | null> {
  const stats = await stat(file).catch(() => null);
  return stats?.isFile() === true ? stats.size : null;
}
