/** Positioned reads and hashes of source files, so that no file is ever held in memory whole. */
import { createHash } from 'node:crypto';
import { open, readFile, stat, type FileHandle } from 'node:fs/promises';
import { ConvertError } from './convert-error.ts';

/** Read at a time when hashing: large enough that system calls do not matter, small against any model. */
const HASH_CHUNK_BYTES = 4 * 1024 * 1024;

/** @throws ConvertError `source-unreadable` */
export async function openSource(path: string): Promise<{ file: FileHandle; bytes: number }> {
  const file = await unreadable(path, open(path, 'r'));
  const { size } = await unreadable(path, file.stat());
  return { file, bytes: size };
}

/** Reads exactly `bytes` bytes. @throws ConvertError `malformed` when the file ends before. */
export async function readExactly(file: FileHandle, offset: number, bytes: number): Promise<Uint8Array> {
  const buffer = new Uint8Array(bytes);
  let done = 0;
  while (done < bytes) {
    const { bytesRead } = await file.read(buffer, done, bytes - done, offset + done);
    if (bytesRead === 0) {
      throw new ConvertError('malformed', `the file ends at byte ${offset + done}, before its own tensors do`);
    }
    done += bytesRead;
  }
  return buffer;
}

/** Lower-case hex. `onBytes` gets the size of each chunk. */
export async function sha256OfFile(file: FileHandle, bytes: number, onBytes: (bytes: number) => void): Promise<string> {
  const hash = createHash('sha256');
  for (let offset = 0; offset < bytes; offset += HASH_CHUNK_BYTES) {
    const chunk = await readExactly(file, offset, Math.min(HASH_CHUNK_BYTES, bytes - offset));
    hash.update(chunk);
    onBytes(chunk.length);
  }
  return hash.digest('hex');
}

/**
 * Text of a small file beside the weights, or null when there is none.
 * @throws ConvertError `limit-exceeded` or `source-unreadable`
 */
export async function readTextIfPresent(path: string, bytesMax: number): Promise<string | null> {
  const stats = await stat(path).catch(() => null);
  if (stats === null) {
    return null;
  }
  if (stats.size > bytesMax) {
    throw new ConvertError('limit-exceeded', `${path} has ${stats.size} bytes; at most ${bytesMax} are read`);
  }
  return unreadable(path, readFile(path, 'utf8'));
}

async function unreadable<T>(path: string, operation: Promise<T>): Promise<T> {
  try {
    return await operation;
  } catch (cause) {
    throw new ConvertError('source-unreadable', `${path} cannot be read: ${String(cause)}`, { cause });
  }
}
