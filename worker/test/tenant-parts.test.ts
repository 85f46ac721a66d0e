/** `DELETE /v1/tenant` in parts: within its time, with many rows, and after it was cut in the middle. */
import { Hono } from 'hono';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ManualClock, settled } from '../../ops/testing/manual-clock.ts';
import { deleteTenant, TENANT_DELETE_MS_MAX, TENANT_PARTS_MAX } from '../api/openai/tenant-route.ts';
import { CLASSIFIERS_FORGOTTEN_MAX, removeSomeClassifiers, type ClassifierDirectory } from '../classify/classifier.ts';
import type { Tenant } from '../auth/keyring.ts';
import type { GatewayEnv } from '../gateway.ts';
import type { ForgottenPart, TenantData } from '../tenant-data.ts';
import { classifierGateway } from './support/classifier-gateway.ts';
import { startRealGateway, type TestGateway } from './support/real-gateway.ts';

interface Answer {
  readonly status: number;
  readonly retryAfter: string | null;
  readonly body: { readonly deleted: boolean; readonly counts: Record<string, number>; readonly pending?: string[] };
}

/** The route over data that a test makes up. */
function routeOver(data: readonly TenantData[], clock = new ManualClock()) {
  const app = new Hono<GatewayEnv>();
  app.use(async (context, next) => {
    context.set('tenant', 'mine' as Tenant);
    await next();
  });
  app.delete('/v1/tenant', (context) => deleteTenant(context, { data, clock, reportError: () => {} }));
  const send = async (): Promise<Answer> => {
    const response = await app.request('/v1/tenant', { method: 'DELETE' });
    const body = (await response.json()) as Answer['body'];
    return { status: response.status, retryAfter: response.headers.get('retry-after'), body };
  };
  return { clock, send };
}

/** Things that go one by one. @param beforePart what happens while a part is at work */
function things(name: string, numThings: number, beforePart: () => Promise<void> = () => Promise.resolve()) {
  const state = { numLeft: numThings };
  const data: TenantData = {
    name,
    async forget(): Promise<ForgottenPart> {
      await beforePart();
      const count = Math.min(1, state.numLeft);
      state.numLeft -= count;
      return { count, isMoreLeft: state.numLeft > 0 };
    },
  };
  return { data, state };
}

describe('a deletion', () => {
  it('goes on part by part until nothing is left', async () => {
    const [runs, pages] = [things('runs', 3), things('pages', 1)];
    const { send } = routeOver([runs.data, pages.data]);
    expect(await send()).toEqual({
      status: 200,
      retryAfter: null,
      body: { object: 'tenant', deleted: true, counts: { runs: 3, pages: 1 } },
    });
  });

  it('ends when its time is over, says what is pending, and goes on when it is asked again', async () => {
    const clock = new ManualClock();
    const runs = things('runs', 3, () => clock.wind(0.75 * TENANT_DELETE_MS_MAX));
    const pages = things('pages', 1);
    const { send } = routeOver([runs.data, pages.data], clock);
    const first = await send();
    expect(first).toMatchObject({ status: 202, retryAfter: '1', body: { deleted: false, counts: { runs: 1 } } });
    expect(first.body.pending).toEqual(['runs', 'pages']);
    // The second part ends behind the answer. Pages are not forgotten while something writes them.
    expect(pages.state.numLeft).toBe(1);
    expect(await send()).toMatchObject({ status: 200, body: { deleted: true, counts: { runs: 1, pages: 1 } } });
  });

  it('makes so many parts, and not one more', async () => {
    const atLimit = routeOver([things('runs', TENANT_PARTS_MAX).data]);
    expect(await atLimit.send()).toMatchObject({ status: 200, body: { counts: { runs: TENANT_PARTS_MAX } } });
    const beyond = routeOver([things('runs', TENANT_PARTS_MAX + 1).data]);
    expect(await beyond.send()).toMatchObject({ status: 202, body: { counts: { runs: TENANT_PARTS_MAX } } });
    expect(await beyond.send()).toMatchObject({ status: 200, body: { counts: { runs: 1 } } });
  });

  it('does not wait for a part that hangs', async () => {
    const { clock, send } = routeOver([{ name: 'pages', forget: () => new Promise(() => {}) }]);
    const sending = send();
    await settled();
    await clock.wind(TENANT_DELETE_MS_MAX);
    expect(await sending).toMatchObject({ status: 202, body: { pending: ['pages'], counts: {} } });
  });
});

let real: TestGateway;
beforeAll(async () => {
  real = await startRealGateway();
});
afterAll(() => real.close());

describe('the classifiers of a tenant', () => {
  const numClassifiers = 2 * CLASSIFIERS_FORGOTTEN_MAX + 1;

  async function setUp() {
    const { classifiers, create, request, tenantOf } = classifierGateway(real);
    for (let index = 0; index < numClassifiers; index++) {
      await create();
    }
    const numTables = (): number =>
      [...classifiers.objects.values()].reduce((sum, { database }) => {
        const row = database.prepare("SELECT count(*) AS n FROM sqlite_master WHERE type = 'table'").get();
        return sum + Number(row?.['n']);
      }, 0);
    return { classifiers, request, tenant: tenantOf(), numTables };
  }

  it('go in parts', async () => {
    const { classifiers, tenant, numTables } = await setUp();
    const part = (): Promise<ForgottenPart> => removeSomeClassifiers(classifiers, tenant);
    expect(numTables()).toBeGreaterThan(numClassifiers);
    expect(await part()).toEqual({ count: CLASSIFIERS_FORGOTTEN_MAX, isMoreLeft: true });
    expect(await part()).toEqual({ count: CLASSIFIERS_FORGOTTEN_MAX, isMoreLeft: true });
    expect(await part()).toEqual({ count: 1, isMoreLeft: false });
    expect(numTables()).toBe(0);
  });

  it.each([
    ['before a classifier is removed', 'classifier'],
    ['between a classifier and its entry', 'index'],
  ] as const)('are all gone when a deletion that was cut %s is repeated', async (_name, cutAt) => {
    const { classifiers, tenant, request, numTables } = await setUp();
    let numCallsLeft = 5;
    const cut = (where: string): void => {
      if (where === cutAt && numCallsLeft-- === 0) {
        throw new Error('the object was reset');
      }
    };
    const cutting: ClassifierDirectory = {
      classifier: (owner, id) => {
        const client = classifiers.classifier(owner, id);
        return { ...client, remove: () => (cut('classifier'), client.remove()) };
      },
      index: (owner) => {
        const client = classifiers.index(owner);
        return {
          add: (entry) => client.add(entry),
          list: (after, limit) => client.list(after, limit),
          clear: () => client.clear(),
          remove: (id) => (cut('index'), client.remove(id)),
        };
      },
    };
    await expect(removeSomeClassifiers(cutting, tenant)).rejects.toThrow('the object was reset');
    classifiers.crash();
    expect(numTables()).toBeGreaterThan(0);
    let numParts = 0;
    for (let isMoreLeft = true; isMoreLeft; numParts++) {
      ({ isMoreLeft } = await removeSomeClassifiers(classifiers, tenant));
    }
    expect(numParts).toBe(2);
    expect(numTables()).toBe(0);
    expect(await (await request('/v1/classifiers')).json()).toMatchObject({ data: [] });
  });
});
