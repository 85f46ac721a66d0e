/** Moderation by OpenAI's client and vLLM's `/classify`, on a trained classifier. */
import OpenAI from 'openai';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parseModeration, type Moderation } from '../classify/moderation.ts';
import { createGateway } from '../gateway.ts';
import { expectError } from './support/bad-input.ts';
import { post } from './support/http.ts';
import { LocalClassifiers } from './support/local-classifiers.ts';
import { serve, type TestServer } from './support/node-server.ts';
import { startRealGateway, type TestGateway } from './support/real-gateway.ts';

const WORDS = { harassment: 'zzz', violence: 'qqq', safe: 'www' };

let real: TestGateway;
let server: TestServer;
let client: OpenAI;
let app: ReturnType<typeof createGateway>;
let classifier: string;
let moderation: Moderation;

beforeAll(async () => {
  real = await startRealGateway();
  const classifiers = new LocalClassifiers(real.deps);
  const owner = createGateway(classifiers.deps);
  const examples = Object.entries(WORDS).flatMap(([label, word]) =>
    Array.from({ length: 8 }, (_, i) => ({ text: `text ${i} ${word}`, label })),
  );
  classifier = ((await (await post(owner, '/v1/classifiers', { examples })).json()) as { readonly id: string }).id;
  await classifiers.settle();
  const headers = { authorization: 'Bearer sk-local' };
  const tenant = (await (await owner.request('/v1/tenant', { headers })).json()) as { readonly id: string };
  moderation = parseModeration(JSON.stringify({ tenant: tenant.id, classifier })) as Moderation;
  app = createGateway({ ...classifiers.deps, moderation });
  server = await serve((request) => app.fetch(request));
  // Another tenant than the owner: moderation is for everybody.
  client = new OpenAI({ baseURL: `${server.url}/v1`, apiKey: 'sk-second-key', maxRetries: 0 });
});
afterAll(async () => {
  await server.close();
  await real.close();
});

describe('POST /v1/moderations', () => {
  it('flags texts by categories, for the official client', async () => {
    const { results, model } = await client.moderations.create({ input: ['a qqq', 'a www'] });
    expect(model).toBe(classifier);
    expect(results[0]).toMatchObject({ flagged: true, categories: { harassment: false, violence: true } });
    expect(results[1]).toMatchObject({ flagged: false, categories: { harassment: false, violence: false } });
    expect(Object.keys(results[0]?.category_scores ?? {})).toEqual(['harassment', 'violence']);
    const one = await client.moderations.create({ input: 'a zzz', model: 'omni-moderation-latest' });
    expect(one).toMatchObject({ model: 'omni-moderation-latest', results: [{ categories: { harassment: true } }] });
  });

  it('says so where no classifier is named, and what a variable lacks', async () => {
    const none = createGateway({ ...real.deps, moderation: null });
    await expectError(await post(none, '/v1/moderations', { input: 'x' }), 404, null, 'moderation_not_configured');
    await expectError(await post(app, '/v1/moderations', {}), 400, 'input', 'invalid_value');
    await expectError(
      await post(app, '/v1/moderations', { input: [{ type: 'image_url' }] }),
      400,
      'input[0]',
      'invalid_value',
    );
    expect(parseModeration(undefined)).toBeNull();
    expect(() => parseModeration('{')).toThrow('not JSON');
    expect(() => parseModeration('{"tenant":"t"}')).toThrow('classifier');
  });
});

describe('POST /classify', () => {
  it("gives all labels' probabilities in the order of the labels, as vLLM does", async () => {
    const response = await post(app, '/classify', { model: classifier, input: ['a qqq', 'a zzz'] });
    const body = (await response.json()) as { readonly data: readonly { readonly probs: readonly number[] }[] };
    expect(body).toMatchObject({
      object: 'list',
      model: classifier,
      data: [
        { index: 0, label: 'violence', num_classes: 3 },
        { index: 1, label: 'harassment', num_classes: 3 },
      ],
      usage: { completion_tokens: 0 },
    });
    // Labels are in the order of the alphabet: harassment, safe, violence.
    expect(body.data[0]?.probs.indexOf(Math.max(...(body.data[0]?.probs ?? [])))).toBe(2);
    expect(body.data[1]?.probs.indexOf(Math.max(...(body.data[1]?.probs ?? [])))).toBe(0);
  });

  it('needs a key and a classifier', async () => {
    expect((await app.request('/classify', { method: 'POST', body: '{}' })).status).toBe(401);
    await expectError(await post(app, '/classify', { input: 'x' }), 400, 'model', 'invalid_value');
    await expectError(
      await post(app, '/classify', { model: 'clf_none', input: 'x' }),
      404,
      'classifier',
      'classifier_not_found',
    );
    const stranger = { authorization: 'Bearer sk-second-key' };
    await expectError(
      await post(app, '/classify', { model: classifier, input: 'x' }, stranger),
      404,
      'classifier',
      'classifier_not_found',
    );
  });
});
