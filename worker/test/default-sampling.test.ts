/** How tokens are chosen where a request does not say: as the model's authors recommend, as far as the catalog knows. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { finishEvent, ScriptedHead } from '../../ops/testing/scripted-head.ts';
import { createGateway } from '../gateway.ts';
import { parseCatalog, type DefaultSampling } from '../routing/catalog.ts';
import { post } from './support/http.ts';
import { gatewayDeps, TEST_CATALOG, TEST_MODEL, tinyModelFolder } from './support/real-gateway.ts';

let folder: string;
let remove: () => Promise<void>;
beforeAll(async () => {
  ({ folder, remove } = await tinyModelFolder());
});
afterAll(() => remove());

const RECOMMENDED: DefaultSampling = { temperature: 0.2, topP: 0.9, topK: 40, minP: 0.05, repetitionPenalty: 1.1 };
const OPENAI = { temperature: 1, topP: 1, topK: 0, minP: 0, repetitionPenalty: 1 };

const newGateway = (defaultSampling: DefaultSampling) => {
  const head = new ScriptedHead([finishEvent]);
  const [lite] = TEST_CATALOG;
  const catalog = parseCatalog([{ ...lite, backend: { ...lite?.backend, defaultSampling } }]);
  return { head, app: createGateway({ ...gatewayDeps(folder, head, [], []), catalog }) };
};

const CHAT = { messages: [{ role: 'user', content: 'Hi' }] };

describe('a request that does not say', () => {
  it.each([
    ['/v1/chat/completions', CHAT],
    ['/v1/completions', { prompt: 'Hi' }],
  ])('gets what the model recommends at %s', async (route, body) => {
    for (const [recommended, expected] of [
      [RECOMMENDED, RECOMMENDED],
      [{ temperature: 0.5 }, { ...OPENAI, temperature: 0.5 }],
      [{}, OPENAI],
    ] as const) {
      const { app, head } = newGateway(recommended);
      await (await post(app, route, { model: TEST_MODEL, ...body })).text();
      expect(head.requests[0]?.sampling).toMatchObject({ ...expected, presencePenalty: 0, frequencyPenalty: 0 });
    }
  });
});

describe('a request that says', () => {
  it('gets what it asks for, also where that is the default of others', async () => {
    const { app, head } = newGateway(RECOMMENDED);
    const asked = { temperature: 1, top_p: 1, top_k: -1, min_p: 0, repetition_penalty: 1 };
    await (await post(app, '/v1/chat/completions', { model: TEST_MODEL, ...CHAT, ...asked })).text();
    expect(head.requests[0]?.sampling).toMatchObject(OPENAI);
  });
});

describe('GET /v1/models', () => {
  it('tells what happens then, in the names of the API', async () => {
    const { app } = newGateway({ temperature: 0.2, topP: 0.9 });
    const response = await app.request(`/v1/models/${TEST_MODEL}`, { headers: { authorization: 'Bearer sk-local' } });
    expect(await response.json()).toMatchObject({
      default_sampling: { temperature: 0.2, top_p: 0.9, top_k: 0, min_p: 0, repetition_penalty: 1 },
    });
  });
});
