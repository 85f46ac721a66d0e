import { spawnSync } from 'node:child_process';
import { mkdir, mkdtemp, readdir, readFile, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { buildFolder } from '../build-folder.ts';
import { removeAbandoned, unfinishedPath } from '../files.ts';

let parent: string;
let folder: string;
let numBuilds: number;

beforeEach(async () => {
  parent = await mkdtemp(path.join(tmpdir(), 'lamina-build-'));
  folder = path.join(parent, 'output');
  numBuilds = 0;
});
afterEach(() => rm(parent, { recursive: true, force: true }));

const build = async (key: string): Promise<boolean> => {
  const { reused } = await buildFolder({
    folder,
    key,
    build: async (into) => {
      numBuilds += 1;
      await mkdir(path.join(into, 'deep'));
      await writeFile(path.join(into, 'deep', 'file'), `made for ${key}`);
    },
  });
  return reused;
};

const contents = (): Promise<string> => readFile(path.join(folder, 'deep', 'file'), 'utf8');

describe('buildFolder', () => {
  it('builds once for a key, again for another', async () => {
    expect(await build('a')).toBe(false);
    expect(await build('a')).toBe(true);
    expect(await build('b')).toBe(false);
    expect(await contents()).toBe('made for b');
    expect(await readdir(parent)).toEqual(['output']);
  });

  it.each<[string, () => Promise<void>]>([
    ['a folder without a stamp', () => rm(path.join(folder, '.stamp.json'))],
    ['a half-written stamp', () => writeFile(path.join(folder, '.stamp.json'), '{"key":"a"')],
    ['a file that was cut', () => truncate(path.join(folder, 'deep', 'file'), 3)],
    ['a file that is missing', () => rm(path.join(folder, 'deep', 'file'))],
  ])('builds again when it finds %s', async (_name, damage) => {
    await build('a');
    await damage();
    expect(await build('a')).toBe(false);
    expect(await contents()).toBe('made for a');
    expect(numBuilds).toBe(2);
  });

  it('leaves nothing behind when the build fails, and keeps what was there', async () => {
    await build('a');
    const failure = buildFolder({ folder, key: 'b', build: () => Promise.reject(new Error('broken')) });
    await expect(failure).rejects.toThrow('broken');
    expect(await readdir(parent)).toEqual(['output']);
    expect(await contents()).toBe('made for a');
  });

  it('does not take the unfinished folder of a killed process for an output, and removes it', async () => {
    const { pid } = spawnSync(process.execPath, ['-e', '']);
    const abandoned = unfinishedPath(folder).replace(String(process.pid), String(pid));
    await mkdir(abandoned);
    await writeFile(path.join(abandoned, 'half'), '');
    expect(await build('a')).toBe(false);
    await removeAbandoned(parent);
    expect(await readdir(parent)).toEqual(['output']);
  });

  it('leaves the unfinished folder of a running process alone', async () => {
    await mkdir(unfinishedPath(folder));
    await removeAbandoned(parent);
    expect(await readdir(parent)).toHaveLength(1);
  });
});
