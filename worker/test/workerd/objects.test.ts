/** The gateway's objects in the Workers runtime: SQLite, alarms, and memory that is lost. */
import { abortAllDurableObjects, evictDurableObject, runDurableObjectAlarm, runInDurableObject } from 'cloudflare:test';
import { env, exports } from 'cloudflare:workers';
import { describe, expect, it } from 'vitest';
import type { RunShard } from '../../index.ts';
import type { PrefixShard } from '../../platform/prefix-shard.ts';
import { createKeyring } from '../../auth/keyring.ts';

const namespaces = env as unknown as {
  readonly RUNS: DurableObjectNamespace<RunShard>;
  readonly PREFIXES: DurableObjectNamespace<PrefixShard>;
};
const gateway = (exports as unknown as { readonly default: Fetcher }).default;

const HEADERS = { authorization: 'Bearer sk-local', 'content-type': 'application/json' };
const CHAT = { model: 'lamina-test', messages: [{ role: 'user', content: 'Hello' }], max_tokens: 400, seed: 3 };

const call = (path: string, method = 'GET', body?: object, headers: Record<string, string> = {}): Promise<Response> =>
  gateway.fetch(`https://gateway.invalid${path}`, {
    method,
    headers: { ...HEADERS, ...headers },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });

const chat = (key: string, more: object = {}): Promise<Response> =>
  call('/v1/chat/completions', 'POST', { ...CHAT, ...more }, { 'idempotency-key': key });

interface State {
  readonly id: string;
  readonly status: string;
  readonly answer: { readonly choices: readonly { readonly message: { readonly content: string } }[] } | null;
}

const stateOf = async (id: string): Promise<State> => (await call(`/v1/responses/${id}`)).json();

async function tenantName(): Promise<string> {
  const tenant = await createKeyring('local', []).authenticate(HEADERS.authorization);
  return tenant.ok ? tenant.value : '';
}

async function shardOf(id: string): Promise<DurableObjectStub<RunShard>> {
  return namespaces.RUNS.getByName(`${await tenantName()}/${id.slice('chatcmpl-'.length)[0]}`);
}

const numTables = (state: DurableObjectState): unknown =>
  state.storage.sql.exec("SELECT count(*) AS n FROM sqlite_master WHERE name IN ('run', 'batch', 'prefix')").one()['n'];

/** Each question costs time of the only thread, which the answer needs. */
const POLL_MS = 50;
const POLLS_MAX = 400;

async function until(isDone: () => Promise<boolean>): Promise<void> {
  for (let attempt = 0; attempt < POLLS_MAX; attempt++) {
    if (await isDone()) {
      return;
    }
    await scheduler.wait(POLL_MS);
  }
  throw new Error('the condition did not come true');
}

describe('an object with runs', () => {
  it('has the answer after its memory is gone', async () => {
    const first = (await (await chat('evicted', { max_tokens: 20 })).json()) as State;
    await evictDurableObject(await shardOf(first.id));
    expect(await (await chat('evicted', { max_tokens: 20 })).json()).toEqual(first);
  });

  it('goes on with a run in the middle of which everything was lost', async () => {
    const undisturbed: { choices: { message: { content: string } }[] } = await (await chat('undisturbed')).json();
    const { id } = (await (await chat('disturbed', { background: true })).json()) as State;
    await until(async () => (await stateOf(id)).status === 'in_progress');
    await abortAllDurableObjects();
    const resumed = await stateOf(id);
    expect(resumed.status).toBe('in_progress');
    await until(async () => (await stateOf(id)).status === 'completed');
    expect((await stateOf(id)).answer?.choices[0]?.message).toEqual(undisturbed.choices[0]?.message);
  });

  it('goes on at its alarm when nobody asks', async () => {
    const { id } = (await (await chat('alarm', { background: true })).json()) as State;
    await until(async () => (await stateOf(id)).status === 'in_progress');
    await abortAllDurableObjects();
    const shard = await shardOf(id);
    expect(await runDurableObjectAlarm(shard)).toBe(true);
    const isEnded = (): Promise<boolean> =>
      runInDurableObject(shard, (_instance, state) => {
        const [row] = state.storage.sql.exec('SELECT status FROM run WHERE id = ?', id).toArray();
        return row?.['status'] === 'completed';
      });
    await until(isEnded);
  });

  it('forgets a run five minutes after its end, at an alarm', async () => {
    const { id } = (await (await chat('old', { max_tokens: 4 })).json()) as State;
    const shard = await shardOf(id);
    await runInDurableObject(shard, (_instance, state) => {
      state.storage.sql.exec('UPDATE run SET ended_ms = ended_ms - 300000');
    });
    expect(await runDurableObjectAlarm(shard)).toBe(true);
    const numRows = await runInDurableObject(shard, (_instance, state) =>
      ['run', 'batch'].map((table) => state.storage.sql.exec(`SELECT count(*) AS n FROM ${table}`).one()['n']),
    );
    expect(numRows).toEqual([0, 0]);
    expect(await runDurableObjectAlarm(shard)).toBe(false);
  });
});

describe('DELETE /v1/tenant', () => {
  it('leaves no table and no alarm', async () => {
    const { id } = (await (await chat('mine', { max_tokens: 4 })).json()) as State;
    const messages = [{ role: 'system', content: 'You sell shoes, boots and sandals of all sizes.' }];
    const warmed = await call('/v1/prefixes', 'POST', { model: CHAT.model, messages });
    expect(warmed.status).toBe(200);
    const shards = [await shardOf(id), namespaces.PREFIXES.getByName(await tenantName())];
    const looksLike = (): Promise<unknown[]> =>
      Promise.all(
        shards.map((shard) =>
          runInDurableObject(shard, async (_instance, state) => [numTables(state), await state.storage.getAlarm()]),
        ),
      );
    expect(await looksLike()).toEqual([
      [2, expect.any(Number)],
      [1, expect.any(Number)],
    ]);
    expect((await call('/v1/tenant', 'DELETE')).status).toBe(200);
    expect(await looksLike()).toEqual([
      [0, null],
      [0, null],
    ]);
    expect((await call(`/v1/responses/${id}`)).status).toBe(404);
  });
});
