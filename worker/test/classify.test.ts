/** `POST /v1/classify`: with a trained classifier, with labels alone, with a few examples, and with a large model's help. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createGateway, type GatewayDeps } from '../gateway.ts';
import { CLASSIFY_REQUEST_LIMITS } from '../classify/request-limits.ts';
import { parseClassifyRequest } from '../api/classify/classify-request.ts';
import { parseCatalog } from '../routing/catalog.ts';
import { expectError, times, type BadInputRow } from './support/bad-input.ts';
import { post } from './support/http.ts';
import { LocalClassifiers } from './support/local-classifiers.ts';
import { startRealGateway, TEST_CATALOG, type TestGateway } from './support/real-gateway.ts';
import { chatChunk, endOf, ScriptedOrigins, servedByA, type OriginStep } from './support/scripted-origins.ts';

let real: TestGateway;
beforeAll(async () => {
  real = await startRealGateway();
});
afterAll(() => real.close());

interface ResultBody {
  readonly index: number;
  readonly label: string | null;
  readonly reason: string | null;
  readonly labels?: readonly string[];
  readonly scores: readonly { readonly label: string; readonly score: number }[];
  readonly out_of_scope: number | null;
  readonly served_by: { readonly method: string; readonly backend: string; readonly layers: unknown };
  readonly escalation?: { readonly because: string; readonly status: string; readonly code?: string };
  readonly explanation?: readonly { readonly word: string; readonly weight: number }[];
}

interface ClassificationBody {
  readonly object: string;
  readonly model: string;
  readonly classifier?: string;
  readonly version?: number;
  readonly results: readonly ResultBody[];
  readonly usage: {
    readonly prompt_tokens: number;
    readonly completion_tokens: number;
    readonly total_tokens: number;
    readonly prompt_tokens_details: { readonly cached_tokens: number };
  };
}

function gateway(overrides: Partial<GatewayDeps> = {}) {
  const classifiers = new LocalClassifiers({ ...real.deps, catalog: parseCatalog(TEST_CATALOG), ...overrides });
  const app = createGateway(classifiers.deps);
  const classify = async (body: object): Promise<ClassificationBody> => {
    const response = await post(app, '/v1/classify', body);
    expect(response.status).toBe(200);
    return (await response.json()) as ClassificationBody;
  };
  /** A classifier of three labels that words without meaning give away. */
  const train = async (more: object = {}): Promise<string> => {
    const words = { cancel: 'zzz', refund: 'qqq', where: 'www' };
    const examples = Object.entries(words).flatMap(([label, word]) =>
      Array.from({ length: 8 }, (_, i) => ({ text: `text ${i} ${word}`, label })),
    );
    const made = (await (await post(app, '/v1/classifiers', { examples, ...more })).json()) as { readonly id: string };
    await classifiers.settle();
    return made.id;
  };
  return { app, classify, train, head: classifiers.head };
}

describe('with a classifier', () => {
  it('gives each text its label, calibrated scores, and says who served it', async () => {
    const { classify, train } = gateway();
    const classifier = await train();
    const numRecords = real.records.length;
    const body = await classify({ classifier, input: ['a new text qqq', 'something www'] });
    expect(body).toMatchObject({ object: 'classification', model: 'lamina-test', classifier, version: 1 });
    expect(body.results.map(({ label }) => label)).toEqual(['refund', 'where']);
    for (const { scores, reason, out_of_scope: outOfScope, served_by: servedBy } of body.results) {
      expect(scores.map(({ score }) => score)).toEqual(scores.map(({ score }) => score).sort((a, b) => b - a));
      expect(scores.reduce((sum, { score }) => sum + score, 0)).toBeCloseTo(1, 4);
      expect(reason).toBeNull();
      expect(outOfScope).toBeGreaterThanOrEqual(0);
      expect(servedBy).toMatchObject({ method: 'classifier', backend: 'ring/tiny' });
    }
    expect(real.records.slice(numRecords)).toMatchObject([
      { surface: 'classify', outcome: 'completed', promptTokens: body.usage.prompt_tokens, completionTokens: 0 },
    ]);
  });

  it('computes equal texts once, and counts the tokens of all', async () => {
    const { classify, train, head } = gateway();
    const classifier = await train();
    const numBefore = head.numTexts;
    const input = ['a text qqq', 'something www', 'a text qqq', 'a text qqq'];
    const { results, usage } = await classify({ classifier, input });
    expect(head.numTexts - numBefore).toBe(2);
    expect(results.map(({ label }) => label)).toEqual(['refund', 'where', 'refund', 'refund']);
    expect(results[3]).toEqual({ ...results[0], index: 3 });
    const alone = await Promise.all(input.map((text) => classify({ classifier, input: text })));
    expect(results.map(({ scores }) => scores)).toEqual(alone.map((one) => one.results[0]?.scores));
    expect(usage.prompt_tokens).toBe(alone.reduce((sum, one) => sum + one.usage.prompt_tokens, 0));
  });

  it('takes one text, the first scores only, and a version', async () => {
    const { classify, train } = gateway();
    const classifier = await train();
    const { results } = await classify({ classifier, version: 1, input: 'a new text zzz', top_k: 1 });
    expect(results[0]?.scores).toHaveLength(1);
    expect(results[0]?.scores[0]?.label).toBe('cancel');
  });

  it('gives no label below a threshold, and says why', async () => {
    const { classify, train } = gateway();
    const classifier = await train();
    const ask = async (abstain: object, input = 'text qqq') =>
      (await classify({ classifier, input, abstain })).results[0];
    expect(await ask({ below: 1 }, 'zzz qqq www')).toMatchObject({ label: null, reason: 'below' });
    expect(await ask({ below: 0 })).toMatchObject({ label: 'refund', reason: null });
    expect(await ask({ out_of_scope: 0 })).toMatchObject({ label: null, reason: 'out_of_scope' });
    expect(await ask({ out_of_scope: true })).toMatchObject({ label: 'refund', reason: null });
  });

  it('gives all labels that hold when they are independent', async () => {
    const { app } = gateway();
    const examples = Array.from({ length: 8 }, (_, i) => [
      { text: `text ${i} zzz`, labels: ['z'] },
      { text: `text ${i} qqq`, labels: ['q'] },
      { text: `text ${i} zzz qqq`, labels: ['q', 'z'] },
      { text: `text ${i} nothing`, labels: [] },
    ]).flat();
    const classifiers = new LocalClassifiers(real.deps);
    const other = createGateway(classifiers.deps);
    const made = (await (
      await post(other, '/v1/classifiers', { examples, options: { multi_label: true } })
    ).json()) as { readonly id?: string };
    expect(made.id).toBeDefined();
    await classifiers.settle();
    const response = await post(other, '/v1/classify', {
      classifier: made.id,
      multi_label: true,
      input: ['text 1 zzz qqq', 'text 1 nothing'],
    });
    const body = (await response.json()) as ClassificationBody;
    expect(body.results[0]?.labels?.toSorted()).toEqual(['q', 'z']);
    expect(body.results[1]).toMatchObject({ label: null, reason: 'none_holds', labels: [] });
    // Nobody else has it.
    await expectError(
      await post(app, '/v1/classify', { classifier: made.id, input: 'x' }),
      404,
      'classifier',
      'classifier_not_found',
    );
  });

  it('explains a label by the words that it hangs on', async () => {
    const { classify, train } = gateway();
    const classifier = await train();
    const { results } = await classify({ classifier, input: ['some words qqq', 'qqq'], explain: true });
    const words = results[0]?.explanation ?? [];
    expect(words.map(({ word }) => word)).toEqual(['some', 'words', 'qqq']);
    expect(words.toSorted((a, b) => b.weight - a.weight)[0]?.word).toBe('qqq');
    expect(results[1]?.explanation).toEqual([]);
  });
});

describe('with labels alone', () => {
  const labels = ['order', { name: 'refund', description: 'money back' }, 'account'];

  it('judges by their likelihood, the same alone and among others', async () => {
    const { classify } = gateway();
    const [both, first] = [
      await classify({ labels, input: ['one text', 'another text'] }),
      await classify({ labels, input: 'one text' }),
    ];
    expect(both.results[0]).toEqual(first.results[0]);
    expect(first.results[0]).toMatchObject({
      out_of_scope: null,
      served_by: { method: 'zero_shot', backend: 'ring/tiny', layers: 'all' },
    });
    expect(first.results[0]?.scores.map(({ label }) => label).toSorted()).toEqual(['account', 'order', 'refund']);
    // What a set of labels is worth by itself is computed once.
    expect(first.usage.prompt_tokens).toBeLessThan(both.usage.prompt_tokens / 2);
  });

  it('explains a label by the words that it hangs on, also with a few examples', async () => {
    const { classify } = gateway();
    const withExamples = ['zzz', 'qqq'].map((word) => ({ name: word, examples: times(8, `some text ${word}`) }));
    for (const given of [labels, withExamples]) {
      const input = 'other words qqq';
      const { results, usage } = await classify({ labels: given, input, explain: true });
      const words = results[0]?.explanation ?? [];
      expect(words.map(({ word }) => word)).toEqual(['other', 'words', 'qqq']);
      // The weight is the drop of the score when the word is left out.
      const best = results[0]?.scores[0];
      const without = await classify({ labels: given, input: 'other words' });
      const score = without.results[0]?.scores.find(({ label }) => label === best?.label)?.score ?? NaN;
      expect(words[2]?.weight).toBeCloseTo((best?.score ?? NaN) - score, 6);
      expect(usage.prompt_tokens).toBeGreaterThan(without.usage.prompt_tokens);
    }
  });

  it('follows examples, the more of them the more', async () => {
    const { classify } = gateway();
    const withExamples = (numExamples: number) =>
      ['zzz', 'qqq'].map((word) => ({ name: word, examples: times(numExamples, `some text ${word}`) }));
    const scoreOf = async (numExamples: number) => {
      const { results } = await classify({ labels: withExamples(numExamples), input: 'other words qqq' });
      expect(results[0]?.served_by.method).toBe(numExamples === 0 ? 'zero_shot' : 'few_shot');
      return results[0]?.scores.find(({ label }) => label === 'qqq')?.score ?? 0;
    };
    const few = await scoreOf(1);
    expect(few).toBeGreaterThan(0.5);
    expect(await scoreOf(8)).toBeGreaterThan(few);
  });
});

describe('a text without a label', () => {
  const asked = { labels: ['order', 'refund'], input: ['a text'], abstain: { below: 1 }, fallback: 'pro' };
  const answering = (...steps: OriginStep[]) =>
    gateway({ origins: new ScriptedOrigins(steps, { models: ['lamina-pro'] }) });

  it('gets that of a large model, which is held to the labels', async () => {
    const { classify } = answering(
      servedByA,
      chatChunk({ content: '{"label": ' }, 3),
      chatChunk({ content: '"refund"}' }, 6, 'stop'),
      endOf({ promptTokens: 90, completionTokens: 6 }),
    );
    const { results, usage } = await classify(asked);
    expect(results[0]).toMatchObject({
      label: 'refund',
      reason: null,
      served_by: { method: 'escalated', backend: 'origins/lamina-pro', layers: null },
      escalation: { because: 'below', status: 'answered' },
    });
    expect(usage.completion_tokens).toBe(6);
  });

  it('keeps none when the large model finds none, too', async () => {
    const { classify } = answering(
      servedByA,
      chatChunk({ content: '{"label":"none_of_these"}' }, 3, 'stop'),
      endOf(null),
    );
    expect((await classify(asked)).results[0]).toMatchObject({ label: null, reason: 'none_fits' });
  });

  it.each([
    ['another label', [servedByA, chatChunk({ content: '{"label":"else"}' }, 3, 'stop'), endOf(null)], 'pro_invalid'],
    ['no JSON', [servedByA, chatChunk({ content: 'refund' }, 3, 'stop'), endOf(null)], 'pro_invalid'],
    ['nothing', [{ type: 'fail', code: 'unavailable' }], 'pro_unavailable'],
  ] satisfies [string, OriginStep[], string][])(
    'keeps its own answer when the large model says %s',
    async (_what, steps, code) => {
      const { classify } = answering(...steps);
      expect((await classify(asked)).results[0]).toMatchObject({
        label: null,
        reason: 'below',
        served_by: { method: 'zero_shot' },
        escalation: { because: 'below', status: 'failed', code },
      });
    },
  );
});

describe('a request is refused', () => {
  const labels = ['a', 'b'];
  const { inputsMax, requestLabelsMax, labelExamplesMax, explainedInputsMax, textBytesMax } = CLASSIFY_REQUEST_LIMITS;
  const names = (count: number) => Array.from({ length: count }, (_, i) => `label ${i}`);
  it.each<BadInputRow>([
    ['/v1/classify', {}, 400, 'input', 'invalid_value'],
    ['/v1/classify', { input: 'x' }, 400, 'labels', 'invalid_value'],
    ['/v1/classify', { input: 'x', labels, classifier: 'clf_1' }, 400, 'classifier', 'invalid_value'],
    ['/v1/classify', { input: '', labels }, 400, 'input[0]', 'invalid_value'],
    ['/v1/classify', { input: [], labels }, 400, 'input', 'invalid_value'],
    ['/v1/classify', { input: ['x', ' '], labels }, 400, 'input[1]', 'invalid_value'],
    ['/v1/classify', { input: 'x'.repeat(textBytesMax + 1), labels }, 400, 'input[0]', 'invalid_value'],
    ['/v1/classify', { input: times(inputsMax + 1, 'x'), labels }, 400, 'input', 'invalid_value'],
    ['/v1/classify', { input: 'x', labels: ['a'] }, 400, 'labels', 'invalid_value'],
    ['/v1/classify', { input: 'x', labels: ['a', 'a'] }, 400, 'labels', 'invalid_value'],
    ['/v1/classify', { input: 'x', labels: names(requestLabelsMax + 1) }, 400, 'labels', 'invalid_value'],
    ['/v1/classify', { input: times(65, 'x'), labels: names(64) }, 400, 'input', 'too_many_pairs'],
    [
      '/v1/classify',
      { input: 'x', labels: ['a', { name: 'b', examples: times(labelExamplesMax + 1, 'x') }] },
      400,
      'labels[1].examples',
      'invalid_value',
    ],
    ['/v1/classify', { input: 'x', labels, top_k: 0 }, 400, 'top_k', 'invalid_value'],
    ['/v1/classify', { input: 'x', labels, multi_label: true }, 400, 'multi_label', 'unsupported_parameter'],
    ['/v1/classify', { input: 'w '.repeat(64), labels: names(64), explain: true }, 400, 'input', 'too_many_pairs'],
    ['/v1/classify', { input: 'x', labels, version: 2 }, 400, 'version', 'invalid_value'],
    ['/v1/classify', { input: 'x', labels, abstain: { below: 2 } }, 400, 'abstain.below', 'invalid_value'],
    [
      '/v1/classify',
      { input: 'x', labels, abstain: { out_of_scope: true } },
      400,
      'abstain.out_of_scope',
      'unsupported_parameter',
    ],
    ['/v1/classify', { input: 'x', labels, fallback: 'pro' }, 400, 'fallback', 'invalid_value'],
    ['/v1/classify', { input: 'x', labels, fallback: 'lite' }, 400, 'fallback', 'invalid_value'],
    ['/v1/classify', { input: 'x', labels, model: 'lamina-pro' }, 400, 'model', 'unsupported_model'],
    ['/v1/classify', { input: 'x', labels, model: 'nobody' }, 404, 'model', 'model_not_found'],
    ['/v1/classify', { input: 'x', labels, stream: true }, 400, 'stream', 'unknown_parameter'],
    ['/v1/classify', { input: 'x', classifier: 'clf_none' }, 404, 'classifier', 'classifier_not_found'],
    ['/v1/classify', { input: 'x', classifier: 'not an id' }, 404, 'classifier', 'classifier_not_found'],
    [
      '/v1/classify',
      { input: times(explainedInputsMax + 1, 'x'), classifier: 'clf_1', explain: true },
      400,
      'explain',
      'invalid_value',
    ],
  ])('%s %j', async (route, body, status, param, code) => {
    await expectError(await post(gateway().app, route, body), status, param, code);
  });

  it('for the pairs that an explanation by labels adds, not before there are too many', () => {
    const parse = (numWords: number) =>
      parseClassifyRequest(
        { input: 'w '.repeat(numWords), labels: names(requestLabelsMax), explain: true },
        CLASSIFY_REQUEST_LIMITS,
      );
    expect(parse(63)).toMatchObject({ isExplained: true });
    expect(() => parse(64)).toThrow('again without each of their 64 words, with 64 labels are 4160 pairs');
  });

  it('when the version is not there, or the classifier gives one label only', async () => {
    const { app, train } = gateway();
    const classifier = await train();
    const send = (more: object) => post(app, '/v1/classify', { classifier, input: 'x', ...more });
    await expectError(await send({ version: 2 }), 404, 'version', 'version_not_found');
    await expectError(await send({ multi_label: true }), 400, 'multi_label', 'unsupported_parameter');
  });

  it('with a key that would make it a run, which it is not', async () => {
    const response = await post(gateway().app, '/v1/classify', { input: 'x', labels }, { 'idempotency-key': 'k' });
    expect(response.status).toBe(400);
  });

  it('at none of its limits', async () => {
    const { classify } = gateway();
    const many = await classify({ input: times(inputsMax, 'x'), labels: names(2) });
    expect(many.results).toHaveLength(inputsMax);
    const wide = await classify({ input: 'x'.repeat(300), labels: names(requestLabelsMax) });
    expect(wide.results[0]?.scores).toHaveLength(requestLabelsMax);
  });
});
