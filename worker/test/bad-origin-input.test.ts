/** Every mistake in a request for an origin gets its own status and names the field; no origin sees it. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createGateway } from '../gateway.ts';
import { DEFAULT_GATEWAY_LIMITS as LIMITS } from '../limits.ts';
import { parseCatalog } from '../routing/catalog.ts';
import { expectError, times, type BadInputRow as Row } from './support/bad-input.ts';
import { post } from './support/http.ts';
import { gatewayDeps, TEST_CATALOG, TEST_MODEL, tinyModelFolder } from './support/real-gateway.ts';
import { ScriptedHead } from '../../ops/testing/scripted-head.ts';
import { ScriptedOrigins } from './support/scripted-origins.ts';

let folder: string;
let remove: () => Promise<void>;
beforeAll(async () => {
  ({ folder, remove } = await tinyModelFolder());
});
afterAll(() => remove());

const CHAT = '/v1/chat/completions';
const COMPLETIONS = '/v1/completions';
const chat = (fields: object) => ({ model: TEST_MODEL, messages: [{ role: 'user', content: 'Hi' }], ...fields });

function newGateway() {
  const head = new ScriptedHead();
  const origins = new ScriptedOrigins([]);
  const errors: unknown[] = [];
  const catalog = parseCatalog(TEST_CATALOG);
  return { app: createGateway({ ...gatewayDeps(folder, head, [], errors), origins, catalog }), head, origins, errors };
}

const EMBEDDINGS = '/v1/embeddings';
const RERANK = '/v1/rerank';
const IMAGES = '/v1/images/generations';
const pro = (fields: object) => ({ model: 'lamina-pro', messages: [{ role: 'user', content: 'Hi' }], ...fields });
const proTurns = (...messages: object[]) => pro({ messages });
const proContent = (content: unknown) => proTurns({ role: 'user', content });
const proCompletion = (fields: object) => ({ model: 'lamina-pro', prompt: 'Hi', ...fields });
const embed = (fields: object) => ({ model: 'lamina-pro', input: 'a', ...fields });
const rerank = (fields: object) => ({ model: 'lamina-pro', query: 'q', documents: ['a'], ...fields });
const image = (fields: object) => ({ model: 'lamina-pro', prompt: 'a cat', ...fields });
const tool = (fields: object = {}) => ({ type: 'function', function: { name: 'f', ...fields } });
const call = { id: 'c', type: 'function', function: { name: 'f', arguments: '{}' } };
const imagePart = (url: unknown) => ({ type: 'image_url', image_url: { url } });
const PNG = 'data:image/png;base64,AAAA';
const nested = (depth: number): object => (depth === 0 ? {} : { a: nested(depth - 1) });

/** `chat` asks the ring, the others an origin. */
const ORIGIN_ROWS: readonly Row[] = [
  [CHAT, pro({ fallback: 'std' }), 400, 'fallback', 'invalid_value'],
  [CHAT, chat({ fallback: true }), 400, 'fallback', 'invalid_value'],
  [CHAT, pro({ temprature: 1 }), 400, 'temprature', 'unknown_parameter'],
  [CHAT, pro({ temperature: 3 }), 400, 'temperature', 'invalid_value'],
  [CHAT, pro({ n: LIMITS.choicesMax + 1 }), 400, 'n', 'invalid_value'],
  [CHAT, pro({ max_tokens: 1, max_completion_tokens: 1 }), 400, 'max_tokens', 'invalid_value'],
  [CHAT, pro({ top_logprobs: 1 }), 400, 'top_logprobs', 'invalid_value'],
  [CHAT, pro({ stream_options: {} }), 400, 'stream_options', 'invalid_value'],
  [CHAT, pro({ audio: {} }), 400, 'audio', 'unsupported_parameter'],
  [CHAT, pro({ store: true }), 400, 'store', 'unsupported_parameter'],
  [CHAT, pro({ functions: [] }), 400, 'functions', 'unsupported_parameter'],
  [CHAT, pro({ prompt_cache_key: 'x'.repeat(65) }), 400, 'prompt_cache_key', 'invalid_value'],
  [CHAT, pro({ reasoning_effort: 'much' }), 400, 'reasoning_effort', 'invalid_value'],
  [
    CHAT,
    pro({ chat_template_kwargs: { enable_thinking: true, x: 1 } }),
    400,
    'chat_template_kwargs.x',
    'unknown_parameter',
  ],
  // Messages.
  [CHAT, proTurns(), 400, 'messages', 'invalid_value'],
  [CHAT, proTurns({ role: 'wizard', content: 'a' }), 400, 'messages[0].role', 'invalid_value'],
  [CHAT, proTurns({ role: 'user', content: 'a\ud800' }), 400, 'messages[0].content', 'invalid_value'],
  [CHAT, proTurns({ role: 'user', content: 'a', name: 'B o' }), 400, 'messages[0].name', 'invalid_value'],
  [CHAT, proTurns({ role: 'assistant', content: null }), 400, 'messages[0].content', 'invalid_value'],
  [CHAT, proTurns({ role: 'assistant', tool_calls: [] }), 400, 'messages[0].tool_calls', 'invalid_value'],
  [CHAT, proTurns({ role: 'assistant', content: 'a', audio: {} }), 400, 'messages[0].audio', 'invalid_value'],
  [
    CHAT,
    proTurns({ role: 'assistant', tool_calls: [{ ...call, id: 7 }] }),
    400,
    'messages[0].tool_calls[0].id',
    'invalid_value',
  ],
  [CHAT, proTurns({ role: 'tool', content: 'a' }), 400, 'messages[0].tool_call_id', 'invalid_value'],
  [CHAT, proTurns({ role: 'system', content: [imagePart(PNG)] }), 400, 'messages[0].content[0].type', 'invalid_value'],
  // Images.
  [CHAT, proContent([{ type: 'input_audio' }]), 400, 'messages[0].content[0].type', 'invalid_value'],
  [
    CHAT,
    proContent([imagePart('https://a.example/b.png')]),
    400,
    'messages[0].content[0].image_url.url',
    'invalid_value',
  ],
  [CHAT, proContent([imagePart('file:///etc/passwd')]), 400, 'messages[0].content[0].image_url.url', 'invalid_value'],
  [
    CHAT,
    proContent([imagePart('data:image/svg+xml;base64,AAAA')]),
    400,
    'messages[0].content[0].image_url.url',
    'invalid_value',
  ],
  [CHAT, proContent(times(LIMITS.imagesMax + 1, imagePart(PNG))), 400, 'messages', 'invalid_value'],
  // Tools and formats.
  [CHAT, pro({ tools: [] }), 400, 'tools', 'invalid_value'],
  [CHAT, pro({ tools: times(LIMITS.toolsMax + 1, tool()) }), 400, 'tools', 'invalid_value'],
  [CHAT, pro({ tools: [{ type: 'web_search' }] }), 400, 'tools[0].type', 'invalid_value'],
  [CHAT, pro({ tools: [tool({ name: 'f()' })] }), 400, 'tools[0].function.name', 'invalid_value'],
  [CHAT, pro({ tools: [tool({ parameters: 'x' })] }), 400, 'tools[0].function.parameters', 'invalid_value'],
  [
    CHAT,
    pro({ tools: [tool({ parameters: nested(LIMITS.schemaDepthMax) })] }),
    400,
    'tools[0].function.parameters',
    'invalid_value',
  ],
  [CHAT, pro({ tool_choice: 'required' }), 400, 'tool_choice', 'invalid_value'],
  [CHAT, pro({ parallel_tool_calls: false }), 400, 'parallel_tool_calls', 'invalid_value'],
  [CHAT, pro({ tools: [tool()], tool_choice: tool({ name: 'g' }) }), 400, 'tool_choice', 'invalid_value'],
  [CHAT, pro({ tools: [tool()], tool_choice: 'some' }), 400, 'tool_choice', 'invalid_value'],
  [CHAT, pro({ response_format: { type: 'xml' } }), 400, 'response_format.type', 'invalid_value'],
  [
    CHAT,
    pro({ response_format: { type: 'json_schema', json_schema: { name: 'a' } } }),
    400,
    'response_format.json_schema.schema',
    'invalid_value',
  ],
  [
    CHAT,
    pro({ response_format: { type: 'json_schema', json_schema: { name: 'a', schema: nested(40) } } }),
    400,
    'response_format.json_schema.schema',
    'invalid_value',
  ],
  // Completions.
  [COMPLETIONS, proCompletion({ suffix: 5 }), 400, 'suffix', 'invalid_value'],
  [COMPLETIONS, proCompletion({ prompt_cache_key: 'x'.repeat(65) }), 400, 'prompt_cache_key', 'invalid_value'],
  [COMPLETIONS, proCompletion({ best_of: 2 }), 400, 'best_of', 'unsupported_parameter'],
  [COMPLETIONS, proCompletion({ prompt: [] }), 400, 'prompt', 'invalid_value'],
  // Endpoints of one body.
  [EMBEDDINGS, {}, 400, 'model', 'invalid_value'],
  [EMBEDDINGS, '[]', 400, null, null],
  [EMBEDDINGS, embed({ model: 'gpt-nothing' }), 404, 'model', 'model_not_found'],
  [EMBEDDINGS, embed({ input: '' }), 400, 'input', 'invalid_value'],
  [EMBEDDINGS, embed({ input: [] }), 400, 'input', 'invalid_value'],
  [EMBEDDINGS, embed({ input: ['a', 5] }), 400, 'input[1]', 'invalid_value'],
  [EMBEDDINGS, embed({ input: [5, -1] }), 400, 'input[1]', 'invalid_value'],
  [EMBEDDINGS, embed({ input: times(LIMITS.embeddingInputsMax + 1, 'a') }), 400, 'input', 'invalid_value'],
  [EMBEDDINGS, embed({ encoding_format: 'hex' }), 400, 'encoding_format', 'invalid_value'],
  [EMBEDDINGS, embed({ dimensions: 0 }), 400, 'dimensions', 'invalid_value'],
  [EMBEDDINGS, embed({ truncate: true }), 400, 'truncate', 'unknown_parameter'],
  [EMBEDDINGS, embed({ fallback: 'max' }), 400, 'fallback', 'invalid_value'],
  [RERANK, rerank({ query: '' }), 400, 'query', 'invalid_value'],
  [RERANK, rerank({ documents: [] }), 400, 'documents', 'invalid_value'],
  [RERANK, rerank({ documents: [{ text: 'a' }] }), 400, 'documents[0]', 'invalid_value'],
  [RERANK, rerank({ documents: times(LIMITS.rerankDocumentsMax + 1, 'a') }), 400, 'documents', 'invalid_value'],
  [RERANK, rerank({ top_n: 0 }), 400, 'top_n', 'invalid_value'],
  [IMAGES, image({ prompt: 'x'.repeat(LIMITS.imagePromptLengthMax + 1) }), 400, 'prompt', 'invalid_value'],
  [IMAGES, image({ n: 5 }), 400, 'n', 'invalid_value'],
  [IMAGES, image({ size: '4096x4096' }), 400, 'size', 'invalid_value'],
  [IMAGES, image({ size: 'huge' }), 400, 'size', 'invalid_value'],
  [IMAGES, image({ response_format: 'url' }), 400, 'response_format', 'invalid_value'],
  [IMAGES, image({ style: 'vivid' }), 400, 'style', 'unsupported_parameter'],
];

describe('a wrong body for an origin', () => {
  it.each(ORIGIN_ROWS.map((row) => [JSON.stringify(row[1]).slice(0, 80), row] as const))('%s', async (_name, row) => {
    const [route, body, status, param, code] = row;
    const { app, head, origins, errors } = newGateway();
    await expectError(await post(app, route, body), status, param, code);
    expect(origins.requests).toHaveLength(0);
    expect(head.requests).toHaveLength(0);
    expect(errors).toEqual([]);
  });
});

describe('the largest that an origin is given', () => {
  const rows: [string, string, object][] = [
    ['images', CHAT, proContent(times(LIMITS.imagesMax, imagePart(PNG)))],
    ['tools', CHAT, pro({ tools: times(LIMITS.toolsMax, tool()) })],
    ['depth', CHAT, pro({ tools: [tool({ parameters: nested(LIMITS.schemaDepthMax - 1) })] })],
    ['inputs', EMBEDDINGS, embed({ input: times(LIMITS.embeddingInputsMax, 'a') })],
    ['documents', RERANK, rerank({ documents: times(LIMITS.rerankDocumentsMax, 'a') })],
    ['prompt', IMAGES, image({ prompt: 'x'.repeat(LIMITS.imagePromptLengthMax), n: 4, size: '2048x2048' })],
  ];
  it.each(rows)('%s', async (_name, route, body) => {
    const { app, origins } = newGateway();
    expect((await post(app, route, body)).status).toBe(200);
    expect(origins.requests).toHaveLength(1);
  });
});
