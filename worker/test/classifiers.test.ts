/** Classifiers over HTTP: made from every form of upload, trained again, carried elsewhere, listed and removed. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { removeSomeClassifiers } from '../classify/classifier.ts';
import {
  type ClassifierBody,
  classifierGateway,
  EXAMPLES,
  PATTERNS,
  SUBJECTS,
  UNSEEN,
  UNSEEN_LABELS,
} from './support/classifier-gateway.ts';
import type { LocalClassifiersOptions } from './support/local-classifiers.ts';
import { startRealGateway, type TestGateway } from './support/real-gateway.ts';

let real: TestGateway;
beforeAll(async () => {
  real = await startRealGateway();
});
afterAll(() => real.close());

const gateway = (options: LocalClassifiersOptions = {}) => classifierGateway(real, options);

describe('POST /v1/classifiers', () => {
  it('answers at once, and is trained when its alarms have fired', async () => {
    const { create, get, classifiers, answers, request } = gateway();
    const made = await create();
    expect(made).toMatchObject({
      object: 'classifier',
      name: 'support',
      status: 'training',
      version: null,
      num_examples: 24,
    });
    expect(made.id).toMatch(/^clf_/);
    expect(made.progress).toMatchObject({ phase: 'features', fraction: 0, num_features: 0 });
    expect(classifiers.head.numTexts).toBe(0);
    await classifiers.settle();
    expect(await get(made.id)).toMatchObject({ status: 'ready', version: 1, progress: null, error: null });
    expect(await answers(made.id, UNSEEN)).toEqual(UNSEEN_LABELS);
    const report = await request(`/v1/classifiers/${made.id}/report`);
    expect(await report.json()).toMatchObject({
      object: 'classifier.report',
      version: 1,
      num_examples: 24,
      num_validated: 24,
      out_of_scope_threshold: 0.95,
      labels: [
        { label: 'cancel', num_examples: 8 },
        { label: 'refund', num_examples: 8 },
        { label: 'where', num_examples: 8 },
      ],
      data: { num_duplicates: 0, num_contradictions: 0, singletons: [] },
      notes: [],
    });
  });

  it.each([
    ['text/csv', '?name=csv', `text,label\n${EXAMPLES.map(({ text, label }) => `"${text}",${label}`).join('\r\n')}\n`],
    [
      'text/csv; charset=utf-8',
      '?text_column=utterance&label_column=intent',
      `\uFEFFid,utterance,intent\n${EXAMPLES.map(({ text, label }, id) => `${id},${text},${label}`).join('\n')}`,
    ],
    ['application/jsonl', '', EXAMPLES.map((example) => JSON.stringify(example)).join('\n')],
    [
      'application/x-ndjson',
      '',
      `${EXAMPLES.map(({ text, label }) => JSON.stringify({ text, labels: [label] })).join('\n\n')}\n`,
    ],
  ])('takes %s%s', async (contentType, query, body) => {
    const { send, classifiers, answers } = gateway();
    const response = await send(`/v1/classifiers${query}`, contentType, body);
    expect(response.status).toBe(202);
    const { id, num_examples } = (await response.json()) as ClassifierBody;
    expect(num_examples).toBe(24);
    await classifiers.settle();
    expect(await answers(id, UNSEEN)).toEqual(UNSEEN_LABELS);
  });

  it('takes a form with a file', async () => {
    const { send, classifiers, get } = gateway();
    const form = new FormData();
    form.set('name', 'from a form');
    form.set('file', new File([`text,label\n"a, b",x\n"say ""hi""\nthere",y\n`], 'examples.csv'));
    const response = await send('/v1/classifiers', '', form);
    expect(response.status).toBe(202);
    const { id } = (await response.json()) as ClassifierBody;
    await classifiers.settle();
    expect(await get(id)).toMatchObject({ name: 'from a form', status: 'ready', num_examples: 2 });
  });

  it('learns several labels to a text when asked to', async () => {
    const { create, classifiers, classify } = gateway();
    const both = (a: string, b: string) => `${PATTERNS[a]?.('it')} and ${PATTERNS[b]?.('it')}`;
    const examples = [
      ...EXAMPLES.map(({ text, label }) => ({ text, labels: [label] })),
      ...['cancel', 'refund', 'where'].map((a, i, all) => ({
        text: both(a, all[(i + 1) % 3] ?? ''),
        labels: [a, all[(i + 1) % 3]],
      })),
      { text: 'good morning to you all', labels: [] },
    ];
    const { id } = await create(examples, { options: { multi_label: true } });
    await classifiers.settle();
    const { predictions, labels, kind } = await classify(id, [UNSEEN[0] ?? '']);
    expect(kind).toBe('multi');
    const probabilities = predictions[0]?.probabilities ?? [];
    expect(labels.filter((_, index) => (probabilities[index] ?? 0) > 0.5)).toEqual(['cancel']);
  });

  it('reports what is odd about the examples and learns from them all the same', async () => {
    const { create, classifiers, request } = gateway();
    const examples = [
      ...EXAMPLES,
      EXAMPLES[0],
      EXAMPLES[0],
      { text: EXAMPLES[1]?.text, label: 'refund' },
      { text: 'hello there', label: 'greeting' },
    ];
    const { id } = await create(examples);
    await classifiers.settle();
    const report = (await (await request(`/v1/classifiers/${id}/report`)).json()) as { notes: string[]; data: object };
    expect(report.data).toEqual({
      num_duplicates: 2,
      num_contradictions: 1,
      contradictions: [{ text: EXAMPLES[1]?.text, labels: ['cancel', 'refund'] }],
      singletons: ['greeting'],
    });
    expect(report.notes).toHaveLength(3);
  });

  it('trains on one example for each label, and says that nothing was validated', async () => {
    const { create, classifiers, request, answers } = gateway();
    const { id } = await create(EXAMPLES.filter((_, index) => index % SUBJECTS.length === 0));
    await classifiers.settle();
    const report = (await (await request(`/v1/classifiers/${id}/report`)).json()) as { notes: string[] };
    expect(report).toMatchObject({ accuracy: null, calibration: null, out_of_scope_threshold: null });
    expect(report.notes[0]).toContain('not calibrated');
    expect(await answers(id, UNSEEN)).toEqual(UNSEEN_LABELS);
  });
});

describe('versions', () => {
  it('are added by training again, which computes features of new examples only', async () => {
    const { create, classifiers, json, get, answers, request } = gateway({ limits: { versionsMax: 2 } });
    const { id } = await create();
    await classifiers.settle();
    const added = SUBJECTS.map((subject) => ({ text: `good day to ${subject} kkk`, label: 'greeting' }));
    expect((await json(`/v1/classifiers/${id}/examples`, { examples: added })).status).toBe(200);
    expect(await get(id)).toMatchObject({ status: 'ready', version: 1, num_examples: 32 });
    const hello = ['good day to the boat kkk'];
    const train = async () => {
      expect((await json(`/v1/classifiers/${id}/train`, {})).status).toBe(202);
      expect((await json(`/v1/classifiers/${id}/train`, {})).status).toBe(409);
      await classifiers.settle();
    };
    await train();
    expect(classifiers.head.numTexts).toBe(32);
    expect(await answers(id, hello)).toEqual(['greeting']);
    expect(await answers(id, hello, 1)).not.toEqual(['greeting']);
    await train();
    expect((await get(id)).versions.map(({ version }) => version)).toEqual([2, 3]);
    const gone = await request(`/v1/classifiers/${id}/report?version=1`);
    expect(gone.status).toBe(404);
    expect(await gone.json()).toMatchObject({ error: { code: 'version_not_found', param: 'version' } });
  });
});

describe('a classifier that has changed', () => {
  it('is answered by the version that its client has seen, and not at all once it is removed', async () => {
    const { create, classifiers, json, get, request } = gateway();
    const { id } = await create();
    await classifiers.settle();
    const ask = async (more: object = {}) => {
      const response = await json('/v1/classify', { classifier: id, input: UNSEEN[0], ...more });
      return { status: response.status, ...((await response.json()) as { version?: number; error?: object }) };
    };
    expect(await ask()).toMatchObject({ version: 1 });
    expect((await json(`/v1/classifiers/${id}/train`, {})).status).toBe(202);
    await classifiers.settle();
    expect(await get(id)).toMatchObject({ status: 'ready', version: 2 });
    expect(await ask()).toMatchObject({ version: 2 });
    expect(await ask({ version: 1 })).toMatchObject({ version: 1 });
    await request(`/v1/classifiers/${id}`, { method: 'DELETE' });
    for (const pinned of [{}, { version: 1 }]) {
      expect(await ask(pinned)).toMatchObject({ status: 404, error: { code: 'classifier_not_found' } });
    }
  });
});

describe('examples that come while it trains', () => {
  it('wait for the next training', async () => {
    const { create, classifiers, json, request, get } = gateway();
    const { id } = await create();
    await classifiers.fireAlarms();
    expect((await json(`/v1/classifiers/${id}/examples`, { examples: [{ text: 'late', label: 'late' }] })).status).toBe(
      200,
    );
    await classifiers.settle();
    expect(await get(id)).toMatchObject({ status: 'ready', num_examples: 25 });
    const report = await (await request(`/v1/classifiers/${id}/report`)).json();
    expect(report).toMatchObject({
      num_examples: 24,
      labels: [{ label: 'cancel' }, { label: 'refund' }, { label: 'where' }],
    });
  });
});

describe('export and import', () => {
  it('carry a classifier over as it is', async () => {
    const { create, classifiers, request, answers } = gateway();
    const { id } = await create();
    await classifiers.settle();
    const file = await request(`/v1/classifiers/${id}/export`);
    expect(file.headers.get('content-disposition')).toContain('v1.safetensors');
    const imported = await request('/v1/classifiers/import?name=copy', {
      method: 'POST',
      body: await file.arrayBuffer(),
    });
    expect(imported.status).toBe(201);
    const copy = (await imported.json()) as ClassifierBody;
    expect(copy).toMatchObject({ name: 'copy', status: 'ready', version: 1, num_examples: 0 });
    expect(await answers(copy.id, UNSEEN)).toEqual(UNSEEN_LABELS);
  });

  it('refuse what is no classifier, and one that other features were made for', async () => {
    const { create, classifiers, request } = gateway();
    const { id } = await create();
    await classifiers.settle();
    const bytes = new Uint8Array(await (await request(`/v1/classifiers/${id}/export`)).arrayBuffer());
    const send = async (body: Uint8Array<ArrayBuffer>) => {
      const response = await request('/v1/classifiers/import', { method: 'POST', body });
      return {
        status: response.status,
        ...((await response.json()) as { error: { code: string; message: string } }).error,
      };
    };
    expect(await send(new Uint8Array(3))).toMatchObject({ status: 400, code: 'invalid_file' });
    expect(await send(bytes.slice(0, -4))).toMatchObject({ status: 400, code: 'invalid_file' });
    const text = new TextDecoder('latin1').decode(bytes);
    const changed = Uint8Array.from(text.replace('tiny/features-', 'tinx/features-'), (char) => char.charCodeAt(0));
    expect(await send(changed)).toMatchObject({ status: 400, code: 'other_features' });
  });
});

describe('the list', () => {
  it('is a tenant\u2019s own, newest first, in pages, and nobody else finds what is in it', async () => {
    const { create, request, classifiers } = gateway({ limits: { classifiersMax: 3 } });
    const ids: string[] = [];
    for (let index = 0; index < 3; index++) {
      ids.unshift((await create()).id);
      classifiers.nowMs += 1000;
    }
    const page = async (query: string, key = 'sk-local') =>
      (await (await request(`/v1/classifiers${query}`, {}, key)).json()) as {
        data: ClassifierBody[];
        has_more: boolean;
        last_id: string;
      };
    const first = await page('?limit=2');
    expect(first.data.map(({ id }) => id)).toEqual(ids.slice(0, 2));
    expect(first.has_more).toBe(true);
    const second = await page(`?limit=2&after=${first.last_id}`);
    expect(second).toMatchObject({ data: [{ id: ids[2] }], has_more: false });
    expect((await page('', 'sk-second-key')).data).toEqual([]);
    for (const path of ['', '/report', '/export']) {
      const response = await request(`/v1/classifiers/${ids[0]}${path}`, {}, 'sk-second-key');
      expect(response.status).toBe(404);
      expect(await response.json()).toMatchObject({ error: { code: 'classifier_not_found' } });
    }
    expect((await request(`/v1/classifiers/${ids[0]}`, { method: 'DELETE' }, 'sk-second-key')).status).toBe(404);
  });

  it('has no room for one more than its limit until one is removed', async () => {
    const { create, json, request, classifiers, tenantOf } = gateway({ limits: { classifiersMax: 1 } });
    const { id } = await create();
    const refused = await json('/v1/classifiers', { name: 'second', examples: EXAMPLES });
    expect(await refused.json()).toMatchObject({ error: { code: 'too_many_classifiers' } });
    const removed = await request(`/v1/classifiers/${id}`, { method: 'DELETE' });
    expect(await removed.json()).toEqual({ id, object: 'classifier', deleted: true });
    expect((await request(`/v1/classifiers/${id}`)).status).toBe(404);
    await classifiers.settle();
    const { id: second } = await create();
    await classifiers.settle();
    expect(await removeSomeClassifiers(classifiers, tenantOf())).toEqual({ count: 1, isMoreLeft: false });
    expect((await request(`/v1/classifiers/${second}`)).status).toBe(404);
    expect(await (await request('/v1/classifiers')).json()).toMatchObject({ data: [] });
  });
});

describe('progress', () => {
  it('is a stream of the classifier as it changes', async () => {
    const { create, classifiers, request } = gateway();
    const { id } = await create();
    await classifiers.settle();
    const body = await (await request(`/v1/classifiers/${id}?stream=true`)).text();
    const events = body.split('\n\n').filter((event) => event.startsWith('data: '));
    expect(JSON.parse(events[0]?.slice('data: '.length) ?? '')).toMatchObject({ id, status: 'ready' });
    expect(events.at(-1)).toBe('data: [DONE]');
  });
});
