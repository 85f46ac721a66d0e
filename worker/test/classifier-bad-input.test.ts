/** What `/v1/classifiers` refuses: each with a status, the field, and a code; at its limit everything is taken. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { ClassifyLimits } from '../classify/limits.ts';
import { createGateway } from '../gateway.ts';
import { expectError, times } from './support/bad-input.ts';
import { LocalClassifiers } from './support/local-classifiers.ts';
import { startRealGateway, type TestGateway } from './support/real-gateway.ts';

let real: TestGateway;
beforeAll(async () => {
  real = await startRealGateway();
});
afterAll(() => real.close());

const A = { text: 'one', label: 'a' };
const B = { text: 'two', label: 'b' };

function setUp(limits: Partial<ClassifyLimits> = {}) {
  const classifiers = new LocalClassifiers(real.deps, { limits });
  const app = createGateway(classifiers.deps);
  const send = (path: string, body: BodyInit, contentType: string | null = 'application/json', method = 'POST') =>
    app.request(path, {
      method,
      body,
      headers: { authorization: 'Bearer sk-local', ...(contentType === null ? {} : { 'content-type': contentType }) },
    });
  const create = (body: unknown) => send('/v1/classifiers', JSON.stringify(body));
  const csv = (text: string | Uint8Array<ArrayBuffer>, query = '') => send(`/v1/classifiers${query}`, text, 'text/csv');
  const list = async () =>
    (await (await app.request('/v1/classifiers', { headers: { authorization: 'Bearer sk-local' } })).json()) as {
      data: readonly unknown[];
    };
  return { app, classifiers, send, create, csv, list };
}

describe('a JSON body', () => {
  it.each([
    ['nothing', {}, 'examples', 'invalid_value'],
    ['no examples', { examples: [] }, 'examples', 'invalid_value'],
    ['one label', { examples: [A, A] }, 'examples', 'too_few_labels'],
    ['an empty text', { examples: [A, { text: ' \n', label: 'b' }] }, 'examples[1]', 'invalid_example'],
    ['a text that is none', { examples: [A, { text: 3, label: 'b' }] }, 'examples[1]', 'invalid_example'],
    ['no text', { examples: [A, { label: 'b' }] }, 'examples[1]', 'invalid_example'],
    ['half a character', { examples: [A, { text: '\ud800', label: 'b' }] }, 'examples[1]', 'invalid_example'],
    ['no label', { examples: [A, { text: 'two' }] }, 'examples[1]', 'invalid_example'],
    ['an empty label', { examples: [A, { text: 'two', label: '' }] }, 'examples[1]', 'invalid_example'],
    ['two labels', { examples: [A, { text: 'two', labels: ['a', 'b'] }] }, 'examples[1]', 'invalid_example'],
    ['an unknown field', { examples: [{ ...A, weight: 2 }, B] }, 'examples[0].weight', 'unknown_parameter'],
    ['an unknown option', { examples: [A, B], options: { c: 3 } }, 'options.c', 'unknown_parameter'],
    ['an empty name', { name: '', examples: [A, B] }, 'name', 'invalid_value'],
  ])('with %s is refused, and leaves nothing', async (_what, body, param, code) => {
    const { create, list } = setUp();
    await expectError(await create(body), 400, param, code);
    expect((await list()).data).toEqual([]);
  });

  it('that is none, or of another type, is refused', async () => {
    const { send } = setUp();
    await expectError(await send('/v1/classifiers', '{'), 400, null, 'invalid_json');
    await expectError(await send('/v1/classifiers', 'x', 'text/plain'), 415, null, 'invalid_content_type');
    await expectError(await send('/v1/classifiers', 'x', 'multipart/form-data'), 400, null, 'invalid_form');
  });
});

describe('limits', () => {
  it('of examples: as many are taken, and one more is not', async () => {
    const { create, csv, send, list } = setUp({ examplesMax: 4, batchExamplesMax: 3 });
    const made = await create({ examples: [A, B, A, B] });
    expect(made.status).toBe(202);
    const { id } = (await made.json()) as { id: string };
    await expectError(await create({ examples: [A, B, A, B, A] }), 400, 'examples', 'invalid_value');
    await expectError(await csv('text,label\none,a\ntwo,b\n1,a\n2,b\n3,a\n'), 400, 'examples', 'too_many_examples');
    const more = JSON.stringify({ examples: [A] });
    await expectError(await send(`/v1/classifiers/${id}/examples`, more), 400, 'examples', 'too_many_examples');
    expect((await list()).data).toMatchObject([{ id, num_examples: 4 }]);
  });

  it('of labels', async () => {
    const { create } = setUp({ labelsMax: 3 });
    const examples = (count: number) =>
      times(count, null).map((_, at) => ({ text: `text ${at}`, label: `label ${at}` }));
    expect((await create({ examples: examples(3) })).status).toBe(202);
    await expectError(await create({ examples: examples(4) }), 400, 'examples', 'too_many_labels');
  });

  it('of a text, a label and a name', async () => {
    const { create } = setUp({ textBytesMax: 8, labelLengthMax: 4, nameLengthMax: 4, exampleLabelsMax: 2 });
    // Four characters of two bytes.
    expect((await create({ name: 'abcd', examples: [{ text: 'éééé', label: 'abcd' }, B] })).status).toBe(202);
    const text = await create({ examples: [A, { text: 'ééééé', label: 'b' }] });
    expect(await expectError(text, 400, 'examples[1]', 'invalid_example')).toContain('not cut');
    await expectError(
      await create({ examples: [A, { text: 'x', label: 'abcde' }] }),
      400,
      'examples[1]',
      'invalid_example',
    );
    await expectError(await create({ name: 'abcde', examples: [A, B] }), 400, 'name', 'invalid_value');
    const labels = (count: number) => ({ text: 'x', labels: times(count, null).map((_, at) => `l${at}`) });
    const options = { multi_label: true };
    expect((await create({ examples: [labels(2)], options })).status).toBe(202);
    await expectError(await create({ examples: [labels(3)], options }), 400, 'examples[0]', 'invalid_example');
  });

  it('of a body', async () => {
    const body = JSON.stringify({ examples: [A, B] });
    const file = 'text,label\none,a\ntwo,b\n';
    const exact = setUp({ jsonBytesMax: body.length, uploadBytesMax: file.length });
    expect((await exact.send('/v1/classifiers', body)).status).toBe(202);
    expect((await exact.csv(file)).status).toBe(202);
    const less = setUp({ jsonBytesMax: body.length - 1, uploadBytesMax: file.length - 1 });
    await expectError(await less.send('/v1/classifiers', body), 413, null, 'body_too_large');
    await expectError(await less.csv(file), 413, null, 'body_too_large');
    const form = new FormData();
    form.set('file', new File([file], 'a.csv'));
    const formBytes = (await new Response(form).arrayBuffer()).byteLength;
    const roomy = setUp({ formBytesMax: formBytes });
    expect((await roomy.send('/v1/classifiers', form, null)).status).toBe(202);
    const tight = setUp({ formBytesMax: formBytes - 1 });
    await expectError(await tight.send('/v1/classifiers', form, null), 413, null, 'body_too_large');
    expect((await less.list()).data).toEqual([]);
  });

  it('of a page of the list, and of a file to import', async () => {
    const { app, send } = setUp({ listPageMax: 2, importBytesMax: 3 });
    const get = (query: string) =>
      app.request(`/v1/classifiers${query}`, { headers: { authorization: 'Bearer sk-local' } });
    expect((await get('?limit=2')).status).toBe(200);
    await expectError(await get('?limit=3'), 400, 'limit', 'invalid_value');
    await expectError(await get('?limit=0'), 400, 'limit', 'invalid_value');
    await expectError(await send('/v1/classifiers/import', 'abc', null), 400, null, 'invalid_file');
    await expectError(await send('/v1/classifiers/import', 'abcd', null), 413, null, 'body_too_large');
  });
});

describe('a CSV file', () => {
  it.each([
    ['nothing in it', '', 'invalid_csv'],
    ['no header', 'one,a\ntwo,b\n', 'invalid_csv_header'],
    ['semicolons', 'text;label\none;a\n', 'invalid_csv_header'],
    ['a header alone', 'text,label\n', 'no_examples'],
    ['a comma without quotes', 'text,label\none, or two,a\n', 'invalid_csv'],
    ['a quote that does not end', 'text,label\n"one,a\ntwo,b\n', 'invalid_csv'],
    ['no text in line 3', 'text,label\none,a\n"",b\n', 'invalid_example'],
  ])('with %s is refused', async (_what, text, code) => {
    const { csv } = setUp();
    await expectError(await csv(text), 400, code === 'no_examples' ? 'examples' : null, code);
  });

  it('in another encoding is refused', async () => {
    const { csv } = setUp();
    const latin1 = Uint8Array.from('text,label\nun caf\xe9,a\ntwo,b\n', (char) => char.charCodeAt(0));
    expect(await expectError(await csv(latin1), 400, null, 'invalid_encoding')).toContain('UTF-8');
    const utf16 = new Uint8Array(
      new Uint16Array(Array.from('\ufefftext,label\n', (char) => char.charCodeAt(0))).buffer,
    );
    await expectError(await csv(utf16), 400, null, 'invalid_encoding');
  });

  it('tells the line, also behind texts with line breaks and in any piece', async () => {
    const { send } = setUp();
    const text = 'text,label\n"one\nand\nmore",a\ntwo,b\n,c\n';
    for (const size of [1, 7, 1000]) {
      const pieces = Array.from({ length: Math.ceil(text.length / size) }, (_, at) =>
        text.slice(at * size, (at + 1) * size),
      );
      const body = new Blob(pieces).stream();
      const response = await send('/v1/classifiers', await new Response(body).arrayBuffer(), 'text/csv');
      expect(await expectError(response, 400, null, 'invalid_example')).toContain('line 6');
    }
  });
});

describe('a file that is another than it says', () => {
  const utf16 = (text: string) =>
    new Uint8Array(new Uint16Array(Array.from(text, (char) => char.charCodeAt(0))).buffer);
  it.each([
    ['text;label\none;a\n', "separated by ';': save the file with commas"],
    ['text\tlabel\none\ta\n', 'separated by tabs'],
    ['text,label\rone,a\r', 'save the file with line feeds'],
    ['{"text":"one","label":"a"}\n', "content type 'application/jsonl'"],
    ['', "a header, such as 'text,label'"],
    [utf16('text,label\none,a\n'), 'looks like UTF-16. Save the file as UTF-8'],
  ])('%j is told what to do', async (text, advice) => {
    const { csv } = setUp();
    const response = await csv(text);
    expect(response.status).toBe(400);
    expect(((await response.json()) as { error: { message: string } }).error.message).toContain(advice);
  });

  it('and a list of JSON, sent as JSON Lines', async () => {
    const { send } = setUp();
    const response = await send('/v1/classifiers', JSON.stringify([A, B]), 'application/jsonl');
    expect(await expectError(response, 400, null, 'invalid_jsonl')).toContain('{"examples": [...]}');
  });

  it('and fields by the names that the request gave them', async () => {
    const { send } = setUp();
    const path = '/v1/classifiers?text_column=utterance&label_column=intent';
    const response = await send(path, '{"utterance":"one","intent":"a"}\n{"utterance":"two"}', 'application/jsonl');
    expect(await expectError(response, 400, null, 'invalid_example')).toContain("line 2: 'intent' is required");
  });
});

describe('what would have no effect', () => {
  it('is refused by name', async () => {
    const { app, create, send } = setUp();
    const { id } = (await (await create({ examples: [A, B] })).json()) as { id: string };
    const get = (path: string) => app.request(path, { headers: { authorization: 'Bearer sk-local' } });
    const path = `/v1/classifiers/${id}`;
    await expectError(await send(`${path}/train`, '{"version":3}'), 400, 'version', 'unknown_parameter');
    await expectError(await send(`${path}/train?c=3`, '{}'), 400, 'c', 'unknown_parameter');
    await expectError(await send(`${path}/train`, ' '.repeat(1025)), 413, null, 'body_too_large');
    await expectError(await get(`${path}/report?v=1`), 400, 'v', 'unknown_parameter');
    await expectError(await get(`${path}?stream=yes`), 400, 'stream', 'invalid_value');
    await expectError(await get('/v1/classifiers?after=clf_gone'), 400, 'after', 'invalid_value');
    await expectError(await get('/v1/classifiers?page=2'), 400, 'page', 'unknown_parameter');
    const more = { examples: [A], options: { multi_label: true } };
    await expectError(await send(`${path}/examples`, JSON.stringify(more)), 400, 'options', 'unknown_parameter');
    const named = await send(`${path}/examples?name=x`, 'text,label\none,a\n', 'text/csv');
    await expectError(named, 400, 'name', 'unknown_parameter');
    expect((await send(`${path}/train`, ' '.repeat(1024))).status).toBe(409);
    expect((await send(`${path}/train`, '', null)).status).toBe(409);
  });
});

describe('a JSON Lines file', () => {
  it.each([
    ['{"text":"one","label":"a"}\nnot json\n', 'invalid_jsonl', 'line 2'],
    ['{"text":"one","label":"a"}\n\n[1]\n', 'invalid_jsonl', 'line 3'],
    ['{"text":"one"}\n', 'invalid_example', 'line 1'],
  ])('%j is refused with its line', async (text, code, place) => {
    const { send } = setUp();
    const response = await send('/v1/classifiers', text, 'application/jsonl');
    expect(await expectError(response, 400, null, code)).toContain(place);
  });

  it('with a line that does not end is refused before it is held as a whole', async () => {
    const { send } = setUp();
    const response = await send('/v1/classifiers', `{"text":"${'x'.repeat(2 ** 19)}`, 'application/jsonl');
    await expectError(response, 400, null, 'invalid_jsonl');
  });
});

describe('classifiers that are not there', () => {
  it.each([
    ['GET', ''],
    ['DELETE', ''],
    ['GET', '/report'],
    ['GET', '/export'],
    ['POST', '/train'],
    ['POST', '/examples'],
  ])('%s %s answers 404', async (method, path) => {
    const { app } = setUp();
    for (const id of ['clf_0', 'no-id', 'clf_1%2F2']) {
      const response = await app.request(`/v1/classifiers/${id}${path}`, {
        method,
        headers: { authorization: 'Bearer sk-local', 'content-type': 'application/json' },
        ...(method === 'POST' ? { body: path === '/train' ? '{}' : JSON.stringify({ examples: [A] }) } : {}),
      });
      await expectError(response, 404, 'classifier', 'classifier_not_found');
    }
  });

  it('or not trained yet, or asked for a version that is none', async () => {
    const { app, create } = setUp();
    const { id } = (await (await create({ examples: [A, B] })).json()) as { id: string };
    const get = (path: string) =>
      app.request(`/v1/classifiers/${id}${path}`, { headers: { authorization: 'Bearer sk-local' } });
    await expectError(await get('/report'), 409, 'classifier', 'classifier_not_ready');
    await expectError(await get('/export'), 409, 'classifier', 'classifier_not_ready');
    await expectError(await get('/report?version=7'), 404, 'version', 'version_not_found');
    await expectError(await get('/report?version=x'), 400, 'version', 'invalid_value');
  });

  it('need a key, and the right method', async () => {
    const { app, send } = setUp();
    expect((await app.request('/v1/classifiers')).status).toBe(401);
    await expectError(await send('/v1/classifiers', '{}', 'application/json', 'PUT'), 405, null, 'method_not_allowed');
    await expectError(
      await send('/v1/classifiers/clf_1/train', '{}', 'application/json', 'PUT'),
      405,
      null,
      'method_not_allowed',
    );
  });
});
