/** `lamina replicas` against a real gateway over two rings of the tiny model. */
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { post } from '../../../worker/test/support/http.ts';
import { serve, type TestServer } from '../../../worker/test/support/node-server.ts';
import { TEST_MODEL } from '../../../worker/test/support/real-gateway.ts';
import { startTwoRings, type TwoRings } from '../../../worker/test/support/two-rings.ts';
import { startLamina } from './run-lamina.ts';

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

const replicas = (...args: string[]) =>
  startLamina(['replicas', ...args, '--url', server.url], { env: { LAMINA_ADMIN_KEY: 'sk-operator' } });

describe('lamina replicas', () => {
  it('drains one and waits until it has finished, and lets it go on', async () => {
    const request = { model: TEST_MODEL, messages: [{ role: 'user', content: 'Hi' }], max_tokens: 64, stream: true };
    const response = await post(app, '/v1/chat/completions', request);
    const reader = response.body?.getReader();
    await reader?.read();
    const index = rings.heads.findIndex((head) => head.requests.length > 0);
    const run = replicas('drain', `${index}`, '--model', TEST_MODEL);
    await vi.waitFor(async () => expect(await rings.heads[index]?.stats()).toMatchObject({ isDraining: true }), {
      timeout: 15_000,
      interval: 20,
    });
    for (let isDone = false; !isDone;) {
      isDone = (await reader?.read())?.done ?? true;
    }
    expect(await run.ended).toMatchObject({
      code: 0,
      stdout: `Replica ${index} of ${TEST_MODEL} is drained for 15 minutes.\n`,
    });
    const list = await replicas('list').ended;
    expect(list.stdout).toMatch(new RegExp(`^${TEST_MODEL} +${index} +draining +0 +0$`, 'm'));
    expect(list.stdout).toMatch(new RegExp(`^${TEST_MODEL} +${1 - index} +serving +0 +0$`, 'm'));
    expect(await replicas('resume', `${index}`, '--model', TEST_MODEL).ended).toMatchObject({
      code: 0,
      stdout: `Replica ${index} of ${TEST_MODEL} takes requests.\n`,
    });
    expect(await rings.heads[index]?.stats()).toMatchObject({ isDraining: false });
  });

  it.each([
    ['a number that is none', ['drain', 'one'], 2, /"one" is not the number of a replica/],
    ['a replica that is not there', ['drain', '7', '--model', TEST_MODEL], 1, /no such replica.*\(HTTP 404\)/],
    ['a key that is none', ['list', '--key', 'sk-local'], 1, /\(HTTP 401\)\nGive one of the keys/],
  ])('says what is wrong with %s', async (_name, args, exitCode, message) => {
    const { code, stderr } = await replicas(...args).ended;
    expect(code).toBe(exitCode);
    expect(stderr).toMatch(message);
  });
});
