import { spawnSync } from 'node:child_process';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { sha256Of } from '../files.ts';
import { acquireLock, type LockResult, withLock } from '../lock.ts';

let folder: string;
let lockPath: string;

beforeEach(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'lamina-lock-'));
  lockPath = path.join(folder, 'platform.lock');
});
afterEach(() => rm(folder, { recursive: true, force: true }));

/** The pid of a process that has ended. */
const deadPid = (): number => spawnSync(process.execPath, ['-e', '']).pid;

const acquired = async (): Promise<LockResult & { ok: true }> => {
  const result = await acquireLock(lockPath, 'test');
  if (!result.ok) {
    throw new Error('The lock is taken.');
  }
  return result;
};

describe('acquireLock', () => {
  it('is exclusive, names the holder, and is free after release', async () => {
    const first = await acquired();
    expect(await acquireLock(lockPath, 'other')).toMatchObject({
      ok: false,
      holder: { pid: process.pid, purpose: 'test' },
    });
    first.release();
    (await acquired()).release();
    expect(await readdir(folder)).toEqual([]);
  });

  it.each([
    ['a dead process', () => JSON.stringify({ pid: deadPid(), processStart: null, purpose: 'gone' })],
    [
      'an earlier process with a pid in use',
      () => JSON.stringify({ pid: process.pid, processStart: '1', purpose: 'gone' }),
    ],
    ['a half-written file', () => '{"pid": 1'],
  ])('takes over the lock of %s', async (_name, text) => {
    await writeFile(lockPath, text());
    const lock = await acquired();
    expect(JSON.parse(await readFile(lockPath, 'utf8'))).toMatchObject({ pid: process.pid });
    lock.release();
    expect(await readdir(folder)).toEqual([]);
  });

  it('gives a stale lock to exactly one of many takers', async () => {
    // Which taker is where when another replaces the lock differs from round to round.
    for (let round = 0; round < 50; round += 1) {
      await writeFile(lockPath, `dead ${round}`);
      const results = await Promise.all(Array.from({ length: 8 }, () => acquireLock(lockPath, 'taker')));
      const winners = results.filter((result) => result.ok);
      expect(winners).toHaveLength(1);
      winners[0]?.release();
      expect(await readdir(folder)).toEqual([]);
    }
  });

  it('takes over from a process that died while it took over', async () => {
    const dead = JSON.stringify({ pid: deadPid(), processStart: null, purpose: 'gone' });
    await writeFile(lockPath, dead);
    await writeFile(`${lockPath}.${sha256Of(dead).slice(0, 16)}.claim`, dead);
    expect(await acquireLock(lockPath, 'test')).toMatchObject({ ok: true });
  });

  it('does not remove a lock that another process has taken over', async () => {
    const lock = await acquired();
    await writeFile(lockPath, 'somebody else');
    lock.release();
    expect(await readFile(lockPath, 'utf8')).toBe('somebody else');
  });
});

describe('withLock', () => {
  it('waits for the holder when told to, and says who it is when not', async () => {
    const first = await acquired();
    await expect(withLock(lockPath, 'second', async () => 1)).rejects.toMatchObject({ code: 'already_running' });
    let isFree = false;
    const second = withLock(lockPath, 'second', async () => isFree, { waitMs: 30_000 });
    await new Promise((resolve) => setImmediate(resolve));
    isFree = true;
    first.release();
    expect(await second).toBe(true);
  });
});
