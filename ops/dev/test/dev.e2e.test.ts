/**
 * `lamina dev` as a process: what it prints, that it ends with everything it has started however it is ended, and what a
 * second start does again. With a tiny model, so that a start takes seconds.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdir, mkdtemp, readdir, readFile, rm, stat, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { homeLayout, type HomeLayout, PROJECT_ROOT } from '../../support/home.ts';
import { isProcessRunning } from '../../support/processes.ts';
import { type PlatformProcess, startPlatformProcess } from '../../testing/platform-process.ts';
import { writeTinyGguf } from '../../testing/tiny-model.ts';
import { commandOf, descendantsOf, isPortFree, survivorsOf } from './process-tree.ts';

let home: HomeLayout;
let modelFile: string;
const started: PlatformProcess[] = [];
/** Everything that a test found below a process of its own: what is left of it when the test fails. */
const leftovers: number[] = [];

const start = async (...args: string[]): Promise<PlatformProcess> => {
  const env = { LAMINA_HOME: home.root, LAMINA_MODEL_FILE: modelFile };
  const platform = await startPlatformProcess({ env, args });
  started.push(platform);
  return platform;
};

/** All processes below this one. */
const childrenOf = (child: ChildProcess): number[] => {
  const pids = descendantsOf(pidOf(child));
  leftovers.push(...pids);
  return pids;
};

const pidOf = (child: ChildProcess): number => {
  if (child.pid === undefined) {
    throw new Error('The process did not start.');
  }
  return child.pid;
};

const post = (url: string, body: object): Promise<Response> =>
  fetch(`${url}/v1/chat/completions`, {
    method: 'POST',
    headers: { authorization: 'Bearer sk-local', 'content-type': 'application/json' },
    body: JSON.stringify({
      model: 'lamina-lite',
      messages: [{ role: 'user', content: 'Hello' }],
      temperature: 0,
      max_tokens: 8,
      ...body,
    }),
  });

/** What the platform answers in one piece. */
const chat = async (url: string): Promise<string> => {
  const response = await post(url, {});
  const answer = (await response.json()) as { choices: { message: { content: string } }[] };
  return answer.choices[0]?.message.content ?? '';
};

beforeEach(async () => {
  const folder = await mkdtemp(path.join(tmpdir(), 'lamina-dev-'));
  home = homeLayout(path.join(folder, 'home'));
  modelFile = path.join(folder, 'tiny.gguf');
  await writeTinyGguf(modelFile);
});

afterEach(async () => {
  await Promise.all(started.splice(0).map((platform) => platform.stop('SIGKILL')));
  leftovers
    .splice(0)
    .filter(isProcessRunning)
    .forEach((pid) => process.kill(pid, 'SIGKILL'));
  await rm(path.dirname(home.root), { recursive: true, force: true });
});

describe('lamina dev', () => {
  it('prints one line when it can answer, and answers whole and streamed alike', async () => {
    const platform = await start();
    const whole = await chat(platform.url);
    const streamed = await (await post(platform.url, { stream: true })).text();
    const pieces = [...streamed.matchAll(/^data: (\{.*)$/gm)].map(
      ([, json]) =>
        (JSON.parse(json ?? '') as { choices: { delta: { content?: string } }[] }).choices[0]?.delta.content,
    );
    expect(whole).not.toBe('');
    expect(pieces.join('')).toBe(whole);
    expect(platform.stdout()).toBe(`Lamina is ready at ${platform.url}\n`);
  });

  it('serves a model of another architecture the same way', async () => {
    await writeTinyGguf(modelFile, { architecture: 'qwen2', tied: false });
    const platform = await start();
    expect(await chat(platform.url)).not.toBe('');
  });

  it.each(['SIGTERM', 'SIGINT'] as const)('ends with everything it has started on %s', async (signal) => {
    const platform = await start();
    const children = childrenOf(platform.child);
    expect(children.length).toBeGreaterThan(0);
    expect(await platform.stop(signal)).toBe(0);
    expect(await survivorsOf(children)).toEqual([]);
    expect(await isPortFree(Number(new URL(platform.url).port))).toBe(true);
    expect(await readdir(home.root)).not.toContain(path.basename(home.platformLock));
  });

  it('takes the runtime with it when it is killed, and starts again over its stale lock', async () => {
    const killed = await start();
    const children = childrenOf(killed.child);
    await killed.stop('SIGKILL');
    expect(await survivorsOf(children)).toEqual([]);
    expect(await readdir(home.root)).toContain(path.basename(home.platformLock));
    expect(await chat((await start()).url)).not.toBe('');
  });

  it('takes the runtime with it also when its whole process group was asked to end before', async () => {
    const killed = await start();
    const children = childrenOf(killed.child);
    const guards = children.filter((pid) => commandOf(pid).includes('guarded-runtime'));
    expect(guards).toHaveLength(1);
    guards.forEach((pid) => process.kill(pid, 'SIGTERM'));
    await killed.stop('SIGKILL');
    expect(await survivorsOf(children)).toEqual([]);
  });
});

describe('several processes', () => {
  const flags = ['--stages', '3', '--processes', '2'];

  it('answer as one does, and end on SIGTERM', async () => {
    const alone = await start();
    const expected = await chat(alone.url);
    await alone.stop();
    const platform = await start(...flags);
    const children = childrenOf(platform.child);
    expect(await chat(platform.url)).toBe(expected);
    expect(await platform.stop()).toBe(0);
    expect(await survivorsOf(children)).toEqual([]);
  });

  it('end when the platform is killed, and start again at once', async () => {
    const killed = await start(...flags);
    const children = childrenOf(killed.child);
    await killed.stop('SIGKILL');
    expect(await survivorsOf(children)).toEqual([]);
    expect(await chat((await start(...flags)).url)).not.toBe('');
  });

  it('are refused when there are fewer stages', async () => {
    await expect(start('--processes', '2')).rejects.toThrow('2 processes cannot share one stage');
  });
});

describe('a second start', () => {
  it('does nothing again whose inputs did not change', async () => {
    await (await start()).stop();
    const [folder = ''] = await readdir(home.converted);
    const before = await stat(path.join(home.converted, folder, 'manifest.json'));
    const second = await start();
    const after = await stat(path.join(home.converted, folder, 'manifest.json'));
    expect({ ino: after.ino, mtimeMs: after.mtimeMs }).toEqual({ ino: before.ino, mtimeMs: before.mtimeMs });
    expect(second.stderr()).toMatch(/Kernels +reused/);
    expect(second.stderr()).toMatch(/Convert +reused/);
  });

  it('has what the objects have stored, unless it is told to forget it', async () => {
    const first = await start();
    const body = { model: 'lamina-lite', prompt: 'Hello', max_tokens: 8, background: true };
    const asked = await fetch(`${first.url}/v1/completions`, {
      method: 'POST',
      headers: { authorization: 'Bearer sk-local', 'content-type': 'application/json' },
      body: JSON.stringify(body),
    });
    const { id } = (await asked.json()) as { id: string };
    const find = async ({ url }: PlatformProcess): Promise<number> =>
      (await fetch(`${url}/v1/responses/${id}`, { headers: { authorization: 'Bearer sk-local' } })).status;
    expect(await find(first)).toBe(200);
    await first.stop();
    const second = await start();
    expect(await find(second)).toBe(200);
    await second.stop();
    expect(await find(await start('--clean-state'))).toBe(404);
  });

  it('converts again when the model file has changed', async () => {
    await (await start()).stop();
    await writeTinyGguf(modelFile, { seed: 2 });
    expect((await start()).stderr()).not.toMatch(/Convert +reused/);
  });

  it('does not take half-finished outputs for finished ones', async () => {
    const first = await start();
    const answer = await chat(first.url);
    await first.stop();
    const [model = ''] = await readdir(home.converted);
    const converted = path.join(home.converted, model);
    // The stage's asset is a hard link to this file and is cut with it.
    await truncate(path.join(converted, 'layer-000-00.bin'), 100);
    await writeFile(path.join(home.scripts, 'stage.js'), 'export default {');
    await writeFile(home.planFile, '{"stages":');
    await writeFile(home.digests, '{');
    const abandoned = path.join(home.converted, `.unfinished-999999999-${model}`);
    await mkdir(abandoned);
    const second = await start();
    expect(second.stderr()).not.toMatch(/Convert +reused/);
    expect(await chat(second.url)).toBe(answer);
    expect(await readdir(home.converted)).toEqual([model]);
    expect(JSON.parse(await readFile(home.planFile, 'utf8'))).toMatchObject({ stages: [{ stageIndex: 0 }] });
  });
});

describe('started by something in between', () => {
  /** Resolves to the ready URL of a platform that `command` starts. */
  const readyUrl = (child: ChildProcess): Promise<string> =>
    new Promise((resolve, reject) => {
      let stdout = '';
      child.stdout?.setEncoding('utf8').on('data', (text: string) => {
        stdout += text;
        const url = /Lamina is ready at (\S+)\n/.exec(stdout)?.[1];
        if (url !== undefined) {
          resolve(url);
        }
      });
      child.once('exit', (code) => reject(new Error(`It ended with ${String(code)}.`)));
    });

  const spawnPlatform = (program: string, args: readonly string[]): ChildProcess =>
    spawn(program, args, {
      cwd: PROJECT_ROOT,
      env: { ...process.env, LAMINA_HOME: home.root, LAMINA_MODEL_FILE: modelFile, PORT: '0' },
      stdio: ['ignore', 'pipe', 'ignore'],
    });

  /** A Node that says it is too old, so that the launcher hands over to the one beside it. */
  const oldNode = [
    '--import',
    `data:text/javascript,${encodeURIComponent("Object.defineProperty(process.versions, 'node', { value: '20.0.0' })")}`,
  ];
  const launcher = path.join('ops', 'cli', 'lamina.mjs');

  it.each<[string, string, readonly string[], NodeJS.Signals]>([
    ['npm', 'npm', ['start', '--silent'], 'SIGTERM'],
    ['npm that is interrupted', 'npm', ['start', '--silent'], 'SIGINT'],
    ['npm that is killed', 'npm', ['start', '--silent'], 'SIGKILL'],
    ['an older Node', process.execPath, [...oldNode, launcher, 'dev'], 'SIGTERM'],
    ['an older Node that is killed', process.execPath, [...oldNode, launcher, 'dev'], 'SIGKILL'],
  ])('ends with everything: %s', async (_name, program, args, signal) => {
    const child = spawnPlatform(program, args);
    const url = await readyUrl(child);
    const children = childrenOf(child);
    expect(children.length).toBeGreaterThan(1);
    child.kill(signal);
    expect(await survivorsOf([pidOf(child), ...children])).toEqual([]);
    expect(await isPortFree(Number(new URL(url).port))).toBe(true);
  });
});
