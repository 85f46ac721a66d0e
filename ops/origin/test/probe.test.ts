import { spawn } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { CLUSTER_FOLDER } from './manifests.ts';

const PROBE = path.join(CLUSTER_FOLDER, 'base', 'probe.py');
const KEY = 'sk-engine';

/** What the engine does; tests change it. */
let engine: { health: number; canGenerate: boolean; running: number; generated: number; numCanaries: number };
let server: Server;
let folder: string;

beforeEach(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'lamina-probe-'));
  engine = { health: 200, canGenerate: true, running: 0, generated: 10, numCanaries: 0 };
  server = createServer((request, response) => {
    const isAllowed = request.headers.authorization === `Bearer ${KEY}`;
    if (request.url === '/health') {
      response.writeHead(engine.health).end();
    } else if (request.url === '/metrics') {
      response.end(
        `# HELP x y\nvllm:num_requests_running{engine="0"} ${engine.running}\nvllm:num_requests_waiting 0.0\n` +
          `vllm:generation_tokens_total{engine="0"} ${engine.generated}\nvllm:prompt_tokens_total 5.0\n`,
      );
    } else if (!isAllowed) {
      response.writeHead(401).end();
    } else if (request.url === '/v1/models') {
      response.end(JSON.stringify({ data: [{ id: 'glm' }] }));
    } else {
      engine.numCanaries += 1;
      response.writeHead(engine.canGenerate ? 200 : 500).end('{}');
    }
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
});
afterEach(async () => {
  await new Promise((resolve) => server.close(resolve));
  await rm(folder, { recursive: true, force: true });
});

/** What the probe says: null when it is content. */
function probe(mode: string, key = KEY): Promise<string | null> {
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const env = { ...process.env, PROBE_URL: url, PROBE_STATE: folder, VLLM_API_KEY: key };
  const child = spawn('python3', [PROBE, mode], { env, stdio: ['ignore', 'ignore', 'pipe'] });
  let stderr = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text));
  return new Promise((resolve) => child.once('close', (code) => resolve(code === 0 ? null : stderr.trim())));
}

/** As if the engine had shown its present progress for that long. */
async function letPass(mode: string, seconds: number): Promise<void> {
  const file = path.join(folder, `probe-${mode}.json`);
  const state = JSON.parse(await readFile(file, 'utf8')) as { progress: number; since: number };
  await writeFile(file, JSON.stringify({ ...state, since: state.since - seconds }));
}

describe('the probe', () => {
  it('starts when the models are listed', async () => {
    engine.canGenerate = false;
    expect(await probe('startup')).toBeNull();
  });

  it('gives an idle engine a token to make, and believes nothing else', async () => {
    expect([await probe('ready'), await probe('alive')]).toEqual([null, null]);
    engine.canGenerate = false;
    expect(await probe('ready')).toContain('500');
    expect(await probe('alive')).toContain('500');
    expect(engine.numCanaries).toBe(4);
  });

  it('is not ready while the engine drains, but alive', async () => {
    engine.health = 503;
    expect(await probe('ready')).toContain('503');
    expect(await probe('alive')).toBeNull();
  });

  it('lets a busy engine work, and looks whether tokens come', async () => {
    engine.running = 3;
    expect(await probe('ready')).toBeNull();
    await letPass('ready', 100);
    engine.generated += 1;
    expect(await probe('ready')).toBeNull();
    await letPass('ready', 100);
    expect(await probe('ready')).toContain('no token has come for 10');
    expect(engine.numCanaries).toBe(0);
  });

  it('is more patient before it has an engine killed', async () => {
    engine.running = 1;
    await probe('alive');
    await letPass('alive', 100);
    expect(await probe('alive')).toBeNull();
    await letPass('alive', 250);
    expect(await probe('alive')).toContain('no token has come for 35');
  });

  it('says that the key is wrong', async () => {
    expect(await probe('startup', 'sk-other')).toContain('401');
  });
});
