/** `DELETE /v1/tenant`: nothing is left of one tenant, everything of the others. */
import type { DatabaseSync } from 'node:sqlite';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { finishEvent, tokenEvent } from '../../ops/testing/scripted-head.ts';
import { createGateway } from '../gateway.ts';
import { LocalPrefixes } from './support/local-prefixes.ts';
import { LocalRuns } from './support/local-runs.ts';
import { post } from './support/http.ts';
import { PrefixHead } from './support/prefix-head.ts';
import { gatewayDeps, TEST_MODEL, tinyModelFolder } from './support/real-gateway.ts';

let folder: string;
let remove: () => Promise<void>;
beforeAll(async () => {
  ({ folder, remove } = await tinyModelFolder());
});
afterAll(() => remove());

const MINE = { authorization: 'Bearer sk-local' };
const OTHER = { authorization: 'Bearer sk-second-key' };
const MESSAGES = [{ role: 'user', content: 'Tell me what you know about boots and sandals.' }];

async function setUp() {
  const head = new PrefixHead([tokenEvent(70), finishEvent]);
  const errors: unknown[] = [];
  const deps = gatewayDeps(folder, head, [], errors);
  const prefixes = new LocalPrefixes(deps.epochMs);
  const runs = new LocalRuns({ ...deps, prefixes: prefixes.of });
  const app = createGateway(runs.deps);
  const ask = async (headers: Record<string, string>, key: string): Promise<string> => {
    const body = { model: TEST_MODEL, messages: MESSAGES, max_tokens: 1 };
    const response = await post(app, '/v1/chat/completions', body, { ...headers, 'idempotency-key': key });
    return ((await response.json()) as { id: string }).id;
  };
  for (const headers of [MINE, OTHER]) {
    for (const key of ['a', 'b', 'c', 'd', 'e', 'f']) {
      await ask(headers, key);
    }
    await post(app, '/v1/prefixes', { model: TEST_MODEL, messages: MESSAGES }, headers);
  }
  const deleteTenant = (headers = MINE) => app.request('/v1/tenant', { method: 'DELETE', headers });
  return { app, head, errors, runs, prefixes, ask, deleteTenant };
}

const numTables = (database: DatabaseSync): unknown =>
  database.prepare("SELECT count(*) AS n FROM sqlite_master WHERE type = 'table'").get()?.['n'];

describe('DELETE /v1/tenant', () => {
  it('leaves no row of the tenant and all of the others', async () => {
    const set = await setUp();
    const [mine = ''] = set.prefixes.shards.keys();
    const response = await set.deleteTenant();
    expect(response.status).toBe(200);
    expect(await response.json()).toEqual({
      object: 'tenant',
      deleted: true,
      counts: { runs: 6, classifiers: 0, prefixes: 1, pages: null },
    });
    const databases = [
      ...[...set.runs.shards].map(([name, { database }]) => ({ name, database })),
      ...[...set.prefixes.shards].map(([name, { database }]) => ({ name, database })),
    ];
    for (const { name, database } of databases) {
      const isMine = name.startsWith(mine);
      expect(numTables(database)).toBe(isMine ? 0 : name.includes('/') ? 2 : 1);
    }
    const numRuns = [...set.runs.shards.values()]
      .filter(({ database }) => numTables(database) === 2)
      .map(({ database }) => Number(database.prepare('SELECT count(*) AS n FROM run').get()?.['n']));
    expect(numRuns.reduce((sum, num) => sum + num, 0)).toBe(6);
    expect(set.head.deleted).toEqual([mine]);
    const left = await set.app.request('/v1/prefixes', { headers: OTHER });
    expect(((await left.json()) as { data: object[] }).data).toHaveLength(1);
  });

  it('is harmless when there is nothing, and the tenant may go on', async () => {
    const set = await setUp();
    await set.deleteTenant();
    const again = await set.deleteTenant();
    expect(await again.json()).toMatchObject({ counts: { runs: 0, prefixes: 0 } });
    const id = await set.ask(MINE, 'a');
    expect((await set.app.request(`/v1/responses/${id}`, { headers: MINE })).status).toBe(200);
  });

  it('tries again while steps are under way, and says what is left when that does not help', async () => {
    const set = await setUp();
    const broken = { code: 'ring_failed', message: 'a stage did not answer', retryable: true } as const;
    set.head.failures.push(broken, broken);
    expect((await set.deleteTenant()).status).toBe(200);
    expect(set.head.deleted).toHaveLength(3);
    set.head.failures.push(broken, broken, broken);
    const response = await set.deleteTenant();
    expect(response.status).toBe(503);
    expect(response.headers.get('retry-after')).toBe('5');
    const { error } = (await response.json()) as { error: { code: string; message: string } };
    expect(error.code).toBe('tenant_not_deleted');
    expect(error.message).toContain('pages (a stage did not answer)');
    expect(set.errors).toHaveLength(1);
    set.head.failures.push({ ...broken, retryable: false });
    expect((await set.deleteTenant()).status).toBe(503);
    expect(set.head.failures).toEqual([]);
  });

  it('takes no other method and no stranger', async () => {
    const set = await setUp();
    expect((await set.app.request('/v1/tenant', { method: 'DELETE' })).status).toBe(401);
    expect((await set.app.request('/v1/tenant', { method: 'POST', headers: MINE })).status).toBe(405);
  });
});
