/**
 * A folder of outputs that is made once for given inputs. It carries a stamp with the key of its inputs and the size of
 * each file, so that an equal key and equal sizes mean: made from these inputs, to the end, and not cut since.
 */
import { mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { commitFolder, fileBytes, unfinishedPath } from './files.ts';

/** Starts with a dot so that it is never served: asset uploads and listings leave dot files out. */
const STAMP_NAME = '.stamp.json';

interface Stamp {
  readonly key: string;
  readonly files: readonly { readonly name: string; readonly bytes: number }[];
}

async function listFiles(folder: string): Promise<Stamp['files']> {
  const entries = await readdir(folder, { withFileTypes: true, recursive: true });
  const names = entries
    .filter((entry) => entry.isFile())
    .map((entry) => path.relative(folder, path.join(entry.parentPath, entry.name)))
    .filter((name) => name !== STAMP_NAME)
    .sort();
  return Promise.all(names.map(async (name) => ({ name, bytes: (await fileBytes(path.join(folder, name))) ?? 0 })));
}

async function readStamp(folder: string): Promise<Stamp | null> {
  try {
    const stamp = JSON.parse(await readFile(path.join(folder, STAMP_NAME), 'utf8')) as Partial<Stamp>;
    return typeof stamp.key === 'string' && Array.isArray(stamp.files) ? (stamp as Stamp) : null;
  } catch {
    return null;
  }
}

/** Whether `folder` was finished from inputs with this key and every file still has the size it had then. */
export async function isBuilt(folder: string, key: string): Promise<boolean> {
  const stamp = await readStamp(folder);
  if (stamp?.key !== key) {
    return false;
  }
  const sizes = await Promise.all(stamp.files.map((file) => fileBytes(path.join(folder, file.name))));
  return stamp.files.every((file, index) => file.bytes === sizes[index]);
}

export interface BuildFolderOptions {
  /** Final place of the folder. */
  readonly folder: string;
  /** Changes whenever an input changes: a hash of them. */
  readonly key: string;
  /** Fills an empty folder. When it throws, nothing is left behind. */
  readonly build: (folder: string) => Promise<void>;
}

/** Makes the folder unless it is there already. Returns whether it was reused. */
export async function buildFolder(options: BuildFolderOptions): Promise<{ readonly reused: boolean }> {
  const { folder, key } = options;
  if (await isBuilt(folder, key)) {
    return { reused: true };
  }
  const unfinished = unfinishedPath(folder);
  await mkdir(unfinished, { recursive: true });
  try {
    await options.build(unfinished);
    const stamp: Stamp = { key, files: await listFiles(unfinished) };
    await writeFile(path.join(unfinished, STAMP_NAME), JSON.stringify(stamp));
    await commitFolder(unfinished, folder);
  } catch (error) {
    await rm(unfinished, { recursive: true, force: true });
    throw error;
  }
  return { reused: false };
}
