/** `/v1/embeddings` and `/v1/rerank` on the ring: the real engine with the tiny model, asked by OpenAI's client. */
import OpenAI from 'openai';
import { afterAll, describe, expect, it } from 'vitest';
import { EmbeddingProjection } from '../embeddings/projection.ts';
import { projectionFile } from '../embeddings/test/projection-file.ts';
import { parseCatalog } from '../routing/catalog.ts';
import { startRealGateway, TEST_CATALOG, TEST_MODEL } from './support/real-gateway.ts';

const DIMENSIONS = 24;
const FILE = JSON.stringify(projectionFile({ model: 'tiny', hiddenSize: 64, dimensions: DIMENSIONS }));
const [ring] = TEST_CATALOG;
const catalog = parseCatalog([
  { ...ring, backend: { ...ring?.backend, projectionPath: '/models/tiny/projection.json' } },
  { ...ring, id: 'no-embeddings', aliases: [] },
]);

const gateway = await startRealGateway({
  catalog,
  projection: () => Promise.resolve(new EmbeddingProjection(FILE, 'tiny')),
});
afterAll(() => gateway.close());

const client = new OpenAI({
  apiKey: 'sk-local',
  baseURL: 'http://gateway.invalid/v1',
  maxRetries: 0,
  fetch: (url, init) => Promise.resolve(gateway.app.request(url as string, init)),
});

const embed = (input: OpenAI.EmbeddingCreateParams['input'], overrides: object = {}) =>
  client.embeddings.create({ model: TEST_MODEL, input, encoding_format: 'float', ...overrides });

interface Answer {
  readonly error: { readonly param: string | null; readonly message: string };
  readonly results: readonly { readonly index: number; readonly relevance_score: number }[];
}

async function post(path: string, body: object): Promise<{ status: number; json: Answer }> {
  const response = await gateway.app.request(path, {
    method: 'POST',
    headers: { authorization: 'Bearer sk-local', 'content-type': 'application/json' },
    body: JSON.stringify({ model: TEST_MODEL, ...body }),
  });
  return { status: response.status, json: JSON.parse(await response.text()) as Answer };
}

const lengthOf = (vector: readonly number[]): number => Math.hypot(...vector);

describe('embeddings on the ring', () => {
  it('are unit vectors in the order of the texts, with usage and a record', async () => {
    const answer = await embed(['one text', 'and another one', 'one text']);
    expect(answer.data.map(({ index }) => index)).toEqual([0, 1, 2]);
    expect(answer.data.map(({ embedding }) => embedding.length)).toEqual([DIMENSIONS, DIMENSIONS, DIMENSIONS]);
    expect(answer.data.every(({ embedding }) => Math.abs(lengthOf(embedding) - 1) < 1e-5)).toBe(true);
    expect(answer.data[2]?.embedding).toEqual(answer.data[0]?.embedding);
    expect(answer.data[1]?.embedding).not.toEqual(answer.data[0]?.embedding);
    expect(answer.model).toBe(TEST_MODEL);
    expect(answer.usage.prompt_tokens).toBeGreaterThan(8);
    expect(gateway.records.at(-1)).toMatchObject({
      surface: 'embeddings',
      outcome: 'completed',
      servedBy: 'ring/tiny',
      isEstimated: false,
      promptTokens: answer.usage.prompt_tokens,
    });
  });

  it('are the same alone, in base64, and from token ids', async () => {
    const [expected] = (await embed(['one text', 'more'])).data;
    expect((await embed('one text')).data[0]).toEqual(expected);
    // Without a format the client asks for base64 and decodes it.
    const decoded = await client.embeddings.create({ model: TEST_MODEL, input: 'one text' });
    expect(decoded.data[0]?.embedding).toEqual(expected?.embedding);
    const { tokenizer } = await gateway.deps.textModel('/models/tiny');
    const tokens = tokenizer.encode('one text');
    expect((await embed(tokens)).data[0]).toEqual(expected);
    expect((await embed([tokens, [3]])).data[0]).toEqual(expected);
  });

  it('have fewer dimensions when asked to, and never more', async () => {
    const [short] = (await embed('one text', { dimensions: 3 })).data;
    expect(short?.embedding).toHaveLength(3);
    expect(lengthOf(short?.embedding ?? [])).toBeCloseTo(1, 5);
    expect((await embed('one text', { dimensions: DIMENSIONS })).data[0]?.embedding).toHaveLength(DIMENSIONS);
    const { status, json } = await post('/v1/embeddings', { input: 'a', dimensions: DIMENSIONS + 1 });
    expect(status).toBe(400);
    expect(json.error).toMatchObject({
      param: 'dimensions',
      message: expect.stringContaining(`at most ${DIMENSIONS}`),
    });
  });

  it('refuse what cannot be embedded, by name', async () => {
    const cases: [input: unknown, param: string, message: RegExp][] = [
      ['', 'input', /./],
      [['a', ''], 'input[1]', /./],
      [[], 'input', /./],
      [[3, 300], 'input', /300, which is not a token of a vocabulary of 300/],
      [[[3], [301]], 'input[1]', /301/],
      ['a'.repeat(9000), 'input', /9000 tokens; at most 8192/],
    ];
    for (const [input, param, message] of cases) {
      const { status, json } = await post('/v1/embeddings', { input });
      expect([status, json.error.param], JSON.stringify(input).slice(0, 80)).toEqual([400, param]);
      expect(json.error.message).toMatch(message);
    }
    const { json } = await post('/v1/embeddings', { input: 'a', model: 'no-embeddings' });
    expect(json.error.message).toContain("'no-embeddings' does not offer 'embeddings'");
  });
});

describe('rerank on the ring', () => {
  const documents = ['something else', 'one text', 'and another one'];

  it('puts the nearest document first', async () => {
    const { json } = await post('/v1/rerank', { query: 'one text', documents });
    expect(json.results).toHaveLength(3);
    expect(json.results[0]).toEqual({ index: 1, relevance_score: expect.closeTo(1, 5) });
    const scores = json.results.map((result) => result.relevance_score);
    expect(scores).toEqual([...scores].sort((a, b) => b - a));
    expect(gateway.records.at(-1)).toMatchObject({ surface: 'rerank', servedBy: 'ring/tiny', outcome: 'completed' });
  });

  it('gives as many as are asked for, with their texts when asked to', async () => {
    const body = { query: 'one text', documents, top_n: 1, return_documents: true };
    const { json } = await post('/v1/rerank', body);
    expect(json.results).toMatchObject([{ index: 1, document: { text: 'one text' } }]);
    const { json: models } = await post('/v1/rerank', { query: 'a', documents: ['a'.repeat(8193)] });
    expect(models.error.param).toBe('documents[0]');
  });

  it('is offered by models that have it', async () => {
    const headers = { authorization: 'Bearer sk-local' };
    const list = await (await gateway.app.request('/v1/models', { headers })).json();
    const capabilities = (list as { data: { id: string; capabilities: string[] }[] }).data.map(
      (model) => model.capabilities,
    );
    expect(capabilities).toEqual([
      ['chat', 'completion', 'embeddings', 'rerank'],
      ['chat', 'completion'],
    ]);
  });
});
