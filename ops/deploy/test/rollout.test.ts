/** A deployment of two replicas that serve: a real gateway over two rings of the tiny model, and a wrangler that notes. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { post } from '../../../worker/test/support/http.ts';
import { serve, type TestServer } from '../../../worker/test/support/node-server.ts';
import { TEST_MODEL } from '../../../worker/test/support/real-gateway.ts';
import { startTwoRings, type TwoRings } from '../../../worker/test/support/two-rings.ts';
import { silentProgress } from '../../support/progress.ts';
import { deploy, type DeployOptions } from '../deploy.ts';
import { startRollout, type Rollout } from '../rollout.ts';
import type { ScriptConfigs } from '../wrangler-configs.ts';

const script = (scriptName: string, replicaIndex: number | null): ScriptConfigs => ({
  scriptName,
  replicaIndex,
  full: {},
  bootstrap: replicaIndex === null ? null : {},
});
const SCRIPTS = [script('s0', 0), script('s1', 0), script('r1-s0', 1), script('r1-s1', 1), script('gateway', null)];

let rings: TwoRings;
let app: ReturnType<TwoRings['newGateway']>['app'];
let server: TestServer;
beforeAll(async () => {
  rings = await startTwoRings();
  ({ app } = rings.newGateway());
  server = await serve((request) => app.fetch(request));
});
afterAll(async () => {
  await server.close();
  await rings.close();
});

const rollout = (model = TEST_MODEL): Promise<Rollout> =>
  startRollout({ server: { url: server.url, key: 'sk-operator' }, model, progress: silentProgress });

/** Which replicas drain. */
async function draining(): Promise<number[]> {
  const stats = await Promise.all(rings.heads.map((head) => head.stats()));
  return stats.flatMap(({ isDraining }, index) => (isDraining ? [index] : []));
}

/** @returns options, and what wrangler was called for, with the replicas that were drained at that moment */
function fakeWrangler(refused: string | null = null) {
  const calls: string[] = [];
  const wrangler: DeployOptions['wrangler'] = async (args, folder) => {
    const name = folder.split('/').at(-1) ?? '';
    const isDeployment = args[0] === 'deploy';
    if (isDeployment) {
      calls.push(`${name} while ${(await draining()).join() || 'none'}`);
    }
    return { exitCode: isDeployment && name === refused ? 1 : 0, output: 'as the test says' };
  };
  const options = { folder: '/deployment', scripts: SCRIPTS, env: {}, progress: silentProgress, wrangler };
  return { calls, options };
}

describe('a deployment', () => {
  it('replaces one drained replica after the other, and no stream ends or pauses for it', async () => {
    const chat = {
      model: TEST_MODEL,
      messages: [{ role: 'user', content: 'Hi' }],
      max_tokens: 64,
      seed: 1,
      stream: true,
    };
    const expected = await (await post(app, '/v1/chat/completions', chat)).text();
    const reader = (await post(app, '/v1/chat/completions', chat)).body?.getReader();
    await reader?.read();
    const before = rings.heads.map((head) => head.requests.length);
    const { calls, options } = fakeWrangler();
    const deploying = deploy(options, await rollout());
    let text = '';
    for (let part = await reader?.read(); part?.done === false; part = await reader?.read()) {
      text += new TextDecoder().decode(part.value);
    }
    await deploying;
    expect(calls).toEqual(['s0 while 0', 's1 while 0', 'r1-s0 while 1', 'r1-s1 while 1', 'gateway while none']);
    expect(text).toMatch(/data: \[DONE\]\n\n$/);
    expect(expected.split('data: ').length - text.split('data: ').length).toBeLessThanOrEqual(2);
    // Nobody had to go on with it.
    expect(rings.heads.map((head) => head.requests.length)).toEqual(before);
    expect(await draining()).toEqual([]);
  });

  it('that is refused leaves its replica drained, and the others serve', async () => {
    const { calls, options } = fakeWrangler('r1-s0');
    await expect(deploy(options, await rollout())).rejects.toThrow('wrangler refused r1-s0');
    expect(calls).toEqual(['s0 while 0', 's1 while 0', 'r1-s0 while 1']);
    expect(await draining()).toEqual([1]);
    // With one replica that serves nobody would take the requests of another one.
    await expect(rollout()).rejects.toThrow(/1 replicas of .* take requests/);
    await rings.heads[1].resume();
  });

  it('of a model that is not served yet drains nobody', async () => {
    await expect(rollout('another')).rejects.toThrow(/^0 replicas/);
  });

  it('without a rollout is one script after the other', async () => {
    const { calls, options } = fakeWrangler();
    await deploy(options);
    expect(calls).toEqual(SCRIPTS.map(({ scriptName }) => `${scriptName} while none`));
  });
});
