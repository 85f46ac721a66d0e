import { spawnSync } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { acquireLock } from '../../support/lock.ts';
import { homeLayout } from '../../support/home.ts';
import { LAUNCHER, startLamina } from './run-lamina.ts';

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'lamina-cli-'));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

/** Runs with an empty `LAMINA_HOME` and without any model. */
const run = (args: readonly string[], env: Readonly<Record<string, string>> = {}) =>
  startLamina(args, { env: { LAMINA_HOME: path.join(folder, 'home'), LAMINA_MODEL_FILE: '', ...env } }).ended;

describe('lamina', () => {
  it.each([
    ['an unknown command', ['start'], /unknown command 'start'/],
    ['an unknown flag', ['dev', '--prot', '1'], /unknown option '--prot'/],
    ['a port that is none', ['dev', '--port', '65536'], /"65536" is not a port/],
    ['a count that is none', ['plan', '--stages', '1.5'], /--stages needs a positive whole number, not "1.5"/],
    ['too many replicas', ['plan', '--replicas', '17'], /at most 16 replicas, not 17/],
    ['a drain without a gateway', ['deploy', '--drain'], /Draining needs the gateway.*\nGive --url/],
    ['a web origin with a path', ['deploy', '--cors-origin', 'https://a.example/'], /is not a web origin/],
    [
      'a temperature that is none',
      ['chat', '--temperature', 'hot'],
      /--temperature needs a number from 0 to 2, not "hot"/,
    ],
    ['an unknown model', ['models', 'fetch', 'gpt-5'], /no model "gpt-5"\.\nKnown models: smollm2-135m-instruct/],
  ])('ends with 2 for %s', async (_name, args, message) => {
    const { code, stdout, stderr } = await run(args);
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
    expect(stderr).toMatch(message);
  });

  it('takes the port from PORT', async () => {
    expect(await run(['dev'], { PORT: 'eighty' })).toMatchObject({ code: 2, stderr: /"eighty" is not a port/ });
  });

  it('shows help with 0', async () => {
    const { code, stdout } = await run(['--help']);
    expect(code).toBe(0);
    expect(stdout).toContain('chat');
  });

  it('lists the models with licence and hash', async () => {
    const { code, stdout } = await run(['models', 'list']);
    expect(code).toBe(0);
    expect(stdout).toMatch(/smollm2-135m-instruct \(default\) .* 98\.4 MB +Apache-2\.0 +no\n/);
    expect(stdout).toContain('sha256 b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53');
  });

  it('refuses a model file that is missing or is no model, in one line and without a stack', async () => {
    const text = path.join(folder, 'text.gguf');
    await writeFile(text, 'not a model');
    const missing = await run(['setup'], { LAMINA_MODEL_FILE: path.join(folder, 'missing.gguf') });
    expect(missing).toMatchObject({ code: 1, stdout: '' });
    expect(missing.stderr).toMatch(/error The model file .*missing\.gguf does not exist/);
    const wrong = await run(['setup'], { LAMINA_MODEL_FILE: text });
    expect(wrong.stderr).toMatch(/text\.gguf is not a GGUF file/);
    expect(wrong.stderr).not.toMatch(/\n\s+at /);
  });

  it('shows the stack to those who ask', async () => {
    const env = { LAMINA_MODEL_FILE: path.join(folder, 'missing.gguf'), LAMINA_DEBUG: '1' };
    expect((await run(['setup'], env)).stderr).toMatch(/\n\s+at /);
  });
});

describe('lamina dev', () => {
  it('does not start twice at the same LAMINA_HOME', async () => {
    const home = path.join(folder, 'locked');
    const lock = await acquireLock(homeLayout(home).platformLock, 'running lamina dev');
    expect(lock.ok).toBe(true);
    const { code, stderr } = await run(['dev', '--home', home]);
    expect(code).toBe(1);
    expect(stderr).toContain(`lamina dev is already running at ${home} (pid ${process.pid})`);
  });

  it('says that the port is taken before it does any work', async () => {
    const server = createServer();
    const port = await new Promise<number>((resolve) => {
      server.listen(0, '127.0.0.1', () => resolve((server.address() as { port: number }).port));
    });
    const { code, stderr } = await run(['dev'], { PORT: String(port) });
    await new Promise((resolve) => server.close(resolve));
    expect({ code, stderr }).toEqual({
      code: 1,
      stderr: `error Port ${port} is in use by another program.\nStop that program, or choose another port with --port or PORT.\n`,
    });
  });
});

describe('the launcher', () => {
  /** A launcher whose Node says that it is an old one. */
  const runAsOldNode = (args: readonly string[]) => {
    const pretend = "Object.defineProperty(process.versions, 'node', { value: '20.0.0' })";
    const preload = `data:text/javascript,${encodeURIComponent(pretend)}`;
    return spawnSync(process.execPath, ['--import', preload, LAUNCHER, ...args], { encoding: 'utf8' });
  };

  it('hands over to the newer Node beside it and passes the exit code on', () => {
    expect(runAsOldNode(['--help'])).toMatchObject({ status: 0, stderr: '' });
    expect(runAsOldNode(['nonsense']).status).toBe(2);
  });
});
