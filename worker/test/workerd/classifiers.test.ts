/** Classifiers in the Workers runtime: SQLite, alarms that train, and memory that is lost on the way. */
import { abortAllDurableObjects, evictDurableObject, runInDurableObject } from 'cloudflare:test';
import { env, exports } from 'cloudflare:workers';
import { describe, expect, it } from 'vitest';
import { createKeyring } from '../../auth/keyring.ts';
import type { ClassifierShard } from '../../platform/classifier-shard.ts';

const { CLASSIFIERS } = env as unknown as { readonly CLASSIFIERS: DurableObjectNamespace<ClassifierShard> };
const gateway = (exports as unknown as { readonly default: Fetcher }).default;

const HEADERS = { authorization: 'Bearer sk-local', 'content-type': 'application/json' };

const call = (path: string, method = 'GET', body?: object): Promise<Response> =>
  gateway.fetch(`https://gateway.invalid${path}`, {
    method,
    headers: HEADERS,
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });

const EXAMPLES = ['one', 'two', 'three', 'four', 'five', 'six'].flatMap((word) => [
  { text: `aaaa ${word} aaaa`, label: 'a' },
  { text: `zzzz ${word} zzzz`, label: 'z' },
]);
const UNSEEN = ['aaaa seven aaaa', 'zzzz seven zzzz'];

interface State {
  readonly id: string;
  readonly status: string;
  readonly version: number | null;
  readonly error: string | null;
}

async function create(): Promise<string> {
  const response = await call('/v1/classifiers', 'POST', { name: 'test', examples: EXAMPLES });
  expect(response.status).toBe(202);
  return ((await response.json()) as State).id;
}

const stateOf = async (id: string): Promise<State> => (await call(`/v1/classifiers/${id}`)).json();

async function shardOf(id: string): Promise<DurableObjectStub<ClassifierShard>> {
  const tenant = await createKeyring('local', []).authenticate(HEADERS.authorization);
  return CLASSIFIERS.getByName(`${tenant.ok ? tenant.value : ''}/${id}`);
}

const POLL_MS = 10;
const POLLS_MAX = 2000;

async function untilReady(id: string): Promise<void> {
  for (let attempt = 0; attempt < POLLS_MAX; attempt++) {
    const { status, error } = await stateOf(id);
    expect(error).toBeNull();
    if (status === 'ready') {
      return;
    }
    await scheduler.wait(POLL_MS);
  }
  throw new Error('the training does not end');
}

interface Answers {
  readonly results: readonly { readonly label: string | null; readonly scores: readonly object[] }[];
}

const classify = async (id: string): Promise<Answers> =>
  (await call('/v1/classify', 'POST', { classifier: id, input: UNSEEN })).json();

describe('a classifier', () => {
  it('is trained by alarms, on features of the head shard, and answers after its memory is gone', async () => {
    const id = await create();
    await untilReady(id);
    const before = await classify(id);
    expect(before.results.map(({ scores }) => (scores[0] as { label: string }).label)).toEqual(['a', 'z']);
    await evictDurableObject(await shardOf(id));
    expect(await stateOf(id)).toMatchObject({ status: 'ready', version: 1 });
    expect((await classify(id)).results).toEqual(before.results);
  });

  it('goes on with a training in which everything was lost', async () => {
    const undisturbed = await create();
    await untilReady(undisturbed);
    const id = await create();
    await abortAllDurableObjects();
    await untilReady(id);
    expect((await classify(id)).results).toEqual((await classify(undisturbed)).results);
  });

  it('leaves no table when it is removed', async () => {
    const id = await create();
    await untilReady(id);
    expect((await call(`/v1/classifiers/${id}`, 'DELETE')).status).toBe(200);
    const numTables = await runInDurableObject(
      await shardOf(id),
      (_, state) =>
        state.storage.sql
          .exec("SELECT count(*) AS n FROM sqlite_master WHERE name IN ('example', 'feature', 'version', 'blob')")
          .one()['n'],
    );
    expect(numTables).toBe(0);
    expect((await call(`/v1/classifiers/${id}`)).status).toBe(404);
  });
});
