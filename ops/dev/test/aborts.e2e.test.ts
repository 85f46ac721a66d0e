/**
 * Objects that are ended in the middle of a stream, one at a time: the client notices nothing but a pause.
 * With the default model and two stages.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createKeyring } from '../../../worker/auth/keyring.ts';
import { GATEWAY_SCRIPT_NAME, stageScriptName } from '../../plan/topology.ts';
import { homeLayout } from '../../support/home.ts';
import { silentProgress } from '../../support/progress.ts';
import { createTestHome, type TestHome } from '../../testing/test-home.ts';
import { type Platform, startPlatform } from '../platform.ts';
import { type PreparedModel, prepareModel } from '../prepare.ts';
import type { ObjectName } from '../runtimes.ts';

/** The platform's own scripts, but for one method. */
const ENTRY_POINTS = {
  gateway: 'worker/test/workerd/abortable-gateway.ts',
  stage: 'shards/test/workerd/abortable-stage.ts',
  classify: 'worker/platform/classifier-shard.ts',
};

let testHome: TestHome;
let prepared: PreparedModel;
let platform: Platform;
let undisturbed: string;

const HEADERS = { authorization: 'Bearer sk-local', 'content-type': 'application/json' };
const CHAT = {
  model: 'lamina-lite',
  messages: [{ role: 'user', content: 'Tell me a long story about a lighthouse.' }],
  max_tokens: 120,
  temperature: 0.8,
  seed: 11,
  stream: true,
};

/** Streams a chat and does something when some of it is there. @returns the whole text. */
async function stream(key: string | null, inTheMiddle: (id: string) => Promise<void>): Promise<string> {
  const response = await fetch(new URL('/v1/chat/completions', platform.url), {
    method: 'POST',
    headers: { ...HEADERS, ...(key === null ? {} : { 'idempotency-key': key }) },
    body: JSON.stringify(CHAT),
  });
  let body = '';
  let hasActed = false;
  for await (const piece of (response.body ?? new ReadableStream()).pipeThrough(new TextDecoderStream())) {
    body += piece;
    const id = /"id":"([^"]+)"/.exec(body)?.[1];
    if (!hasActed && id !== undefined && body.split('data: ').length > 10) {
      hasActed = true;
      await inTheMiddle(id);
    }
  }
  expect(body).toMatch(/data: \[DONE\]\n\n$/);
  return [...body.matchAll(/^data: (\{.*)$/gm)]
    .map(([, json]) => JSON.parse(String(json)).choices[0]?.delta.content ?? '')
    .join('');
}

beforeAll(async () => {
  testHome = await createTestHome();
  const shared = { home: homeLayout(testHome.path), env: process.env, progress: silentProgress };
  prepared = await prepareModel(undefined, { stageCount: 2 }, shared);
  const sizes = { numReplicas: 1, numProcesses: 1, port: 0 };
  platform = await startPlatform({ ...shared, ...sizes, prepared, entryPoints: ENTRY_POINTS, onLog: () => undefined });
  undisturbed = await stream(null, () => Promise.resolve());
});
afterAll(async () => {
  await platform?.stop();
  await testHome?.remove();
});

const stage = (stageIndex: number): ObjectName => ({
  scriptName: stageScriptName(prepared.plan.model, 0, stageIndex),
  binding: 'SHARD',
  name: 'replica-0',
});

/** Ends an object: its memory is lost, and so are its connections. */
async function abort(object: ObjectName): Promise<void> {
  await platform.call(object, 'abortSoon');
}

/** Tokens that the head has generated in this life of it. */
async function numGenerated(): Promise<number> {
  const response = await fetch(new URL('/healthz?deep=1', platform.url), { headers: HEADERS });
  const body = (await response.json()) as { rings: { replicas: { stats: { numGeneratedTokensTotal: number } }[] }[] };
  return body.rings[0]?.replicas[0]?.stats.numGeneratedTokensTotal ?? 0;
}

describe('an object that is aborted under a stream', () => {
  it('is noticed as a pause: the last stage', async () => {
    expect(await stream(null, () => abort(stage(1)))).toBe(undisturbed);
  });

  it('is noticed as a pause: the head', async () => {
    expect(await stream(null, () => abort(stage(0)))).toBe(undisturbed);
    // The new head has generated a part, so the end came in the middle.
    const numOfNewHead = await numGenerated();
    expect(numOfNewHead).toBeGreaterThan(0);
    expect(numOfNewHead).toBeLessThan(CHAT.max_tokens);
  });

  it('is noticed as a pause: the one that keeps the run', async () => {
    const tenant = await createKeyring('local', []).authenticate(HEADERS.authorization);
    const text = await stream('a key', (id) =>
      abort({
        scriptName: GATEWAY_SCRIPT_NAME,
        binding: 'RUNS',
        name: `${tenant.ok ? tenant.value : ''}/${id.slice('chatcmpl-'.length)[0]}`,
      }),
    );
    expect(text).toBe(undisturbed);
  });
});
