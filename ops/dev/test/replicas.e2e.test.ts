/**
 * `lamina dev` with two replicas of the default model in two processes: one is drained, then its process is killed in the
 * middle of an answer, and clients get the text that they would have had.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type PlatformProcess, startPlatformProcess } from '../../testing/platform-process.ts';
import { createTestHome, type TestHome } from '../../testing/test-home.ts';
import { commandOf, descendantsOf, survivorsOf } from './process-tree.ts';

let home: TestHome;
let platform: PlatformProcess;
/** Prefers the second replica, whose stages are in the second process. */
let key: string;
let undisturbed: string;

const CLIENT = { authorization: 'Bearer sk-local', 'content-type': 'application/json' };
const OPERATOR = { authorization: 'Bearer sk-local-admin' };

interface ReplicaBody {
  readonly status: string;
  readonly stats: { readonly numGeneratedTokensTotal: number } | null;
}

const admin = async (route: string, method = 'GET'): Promise<Record<string, unknown>> => {
  const response = await fetch(`${platform.url}/v1/admin/replicas${route}`, { method, headers: OPERATOR });
  return (await response.json()) as Record<string, unknown>;
};

/** Tokens that each replica has generated in this life of its head, which may be short; null where it does not answer. */
async function numGenerated(): Promise<(number | null)[]> {
  const { data } = (await admin('')) as unknown as { data: ReplicaBody[] };
  return data.map(({ stats }) => stats?.numGeneratedTokensTotal ?? null);
}

async function answer(promptCacheKey: string, maxTokens: number, onBegin: () => Promise<void>): Promise<string> {
  const response = await fetch(`${platform.url}/v1/chat/completions`, {
    method: 'POST',
    headers: CLIENT,
    body: JSON.stringify({
      model: 'lamina-lite',
      messages: [{ role: 'user', content: 'Tell me a long story about a lighthouse.' }],
      max_tokens: maxTokens,
      temperature: 0.8,
      seed: 3,
      stream: true,
      prompt_cache_key: promptCacheKey,
    }),
  });
  let body = '';
  let hasBegun = false;
  for await (const piece of (response.body ?? new ReadableStream()).pipeThrough(new TextDecoderStream())) {
    body += piece;
    if (!hasBegun && body.split('data: ').length > 8) {
      hasBegun = true;
      await onBegin();
    }
  }
  expect(body).toMatch(/data: \[DONE\]\n\n$/);
  return [...body.matchAll(/^data: (\{.*)$/gm)]
    .map(([, json]) => JSON.parse(String(json)).choices[0]?.delta.content ?? '')
    .join('');
}

const nothing = (): Promise<void> => Promise.resolve();
const TOKENS = 200;

async function findKey(): Promise<string> {
  for (let index = 0; ; index++) {
    const before = await numGenerated();
    await answer(`key-${index}`, 1, nothing);
    if (((await numGenerated())[1] ?? 0) > (before[1] ?? 0)) {
      return `key-${index}`;
    }
  }
}

/** A gateway that stands still does not answer in this time; one that runs does in a fraction of it. */
const STANDSTILL_MS = 3_000;

/** Of the two runtimes the one whose standstill the gateway does not notice: it runs in the other. */
async function secondRuntime(): Promise<number> {
  const isRuntime = (pid: number): boolean => commandOf(pid).includes('workerd serve');
  const [one = 0, other = 0, ...more] = descendantsOf(platform.child.pid ?? 0).filter(isRuntime);
  expect([one > 0, other > 0, more.length]).toEqual([true, true, 0]);
  process.kill(one, 'SIGSTOP');
  const health = fetch(`${platform.url}/healthz`, { signal: AbortSignal.timeout(STANDSTILL_MS) });
  const isSecond = await health.then(
    () => true,
    () => false,
  );
  process.kill(one, 'SIGCONT');
  return isSecond ? one : other;
}

beforeAll(async () => {
  home = await createTestHome();
  platform = await startPlatformProcess({
    env: { LAMINA_HOME: home.path },
    args: ['--replicas', '2', '--processes', '2'],
  });
  key = await findKey();
  undisturbed = await answer(key, TOKENS, nothing);
});
afterAll(async () => {
  await platform?.stop();
  await home?.remove();
});

describe('lamina dev --replicas 2', () => {
  it('gives a drained replica nothing new, and lets it finish', async () => {
    const text = await answer(key, TOKENS, async () => {
      expect(await admin('/lamina-lite/1/drain', 'POST')).toMatchObject({ status: 'draining' });
    });
    expect(text).toBe(undisturbed);
    // The first replica has had nothing but some answers of one token so far.
    const [few, whole] = await numGenerated();
    expect(few).toBeLessThan(TOKENS);
    expect(whole).toBeGreaterThanOrEqual(TOKENS);
    expect(await answer(key, TOKENS, nothing)).toBe(undisturbed);
    expect((await numGenerated())[0]).toBeGreaterThanOrEqual(TOKENS);
    expect(await admin('/lamina-lite/1/resume', 'POST')).toMatchObject({ status: 'serving' });
  });

  it('goes on at the other replica when the process of one is killed in the middle of an answer', async () => {
    const pid = await secondRuntime();
    const [before = 0] = await numGenerated();
    const text = await answer(key, TOKENS, () => {
      process.kill(pid, 'SIGKILL');
      return Promise.resolve();
    });
    expect(text).toBe(undisturbed);
    const [after = 0, killed] = await numGenerated();
    // The runtime may have been started again by now, with a head that has done nothing.
    expect(killed ?? 0).toBe(0);
    // The other replica wrote the rest, and not the whole.
    const numOfRest = (after ?? 0) - ((after ?? 0) < (before ?? 0) ? 0 : (before ?? 0));
    expect(numOfRest).toBeGreaterThan(0);
    expect(numOfRest).toBeLessThan(TOKENS);
    const health = await fetch(`${platform.url}/healthz?deep=1`, { headers: CLIENT });
    expect(health.status).toBe(200);
    expect(await health.json()).toMatchObject({ status: 'ok' });
  });

  it('ends with everything it has started', async () => {
    const children = descendantsOf(platform.child.pid ?? 0);
    expect(await platform.stop()).toBe(0);
    expect(await survivorsOf(children)).toEqual([]);
  });
});
