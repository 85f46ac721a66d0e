/**
 * SHA-256 of large files, remembered by size, modification time and inode: an unchanged 100 MB file need not be read
 * again at every start. A file that changed in any of the three is read again.
 */
import { readFile, stat } from 'node:fs/promises';
import path from 'node:path';
import { sha256OfFile, writeFileAtomic } from './files.ts';

interface KnownDigest {
  readonly identity: string;
  readonly sha256: string;
}

/** Entries kept; models are few, and an old entry only costs one more reading. */
const ENTRIES_MAX = 64;

async function readKnown(digestsFile: string): Promise<Record<string, KnownDigest>> {
  try {
    const value: unknown = JSON.parse(await readFile(digestsFile, 'utf8'));
    return typeof value === 'object' && value !== null ? (value as Record<string, KnownDigest>) : {};
  } catch {
    return {};
  }
}

async function identityOf(file: string): Promise<string> {
  const stats = await stat(file, { bigint: true });
  return `${stats.size}:${stats.mtimeNs}:${stats.ino}`;
}

/** Writes down a digest that was computed while the file was written. */
export async function rememberDigest(digestsFile: string, file: string, sha256: string): Promise<void> {
  const resolved = path.resolve(file);
  const { [resolved]: _replaced, ...others } = await readKnown(digestsFile);
  const kept = Object.entries(others).slice(-(ENTRIES_MAX - 1));
  const entry: KnownDigest = { identity: await identityOf(resolved), sha256 };
  await writeFileAtomic(digestsFile, JSON.stringify(Object.fromEntries([...kept, [resolved, entry]]), null, 1));
}

/** SHA-256 of `file`, lower-case hex; from memory when the file has not changed. */
export async function digestOfFile(
  digestsFile: string,
  file: string,
  onBytes: (numBytes: number) => void = () => undefined,
): Promise<string> {
  const resolved = path.resolve(file);
  const known = (await readKnown(digestsFile))[resolved];
  if (known !== undefined && known.identity === (await identityOf(resolved))) {
    return known.sha256;
  }
  const sha256 = await sha256OfFile(resolved, onBytes);
  await rememberDigest(digestsFile, resolved, sha256);
  return sha256;
}
