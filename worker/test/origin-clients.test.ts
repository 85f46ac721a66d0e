/** Two clients that people use, against a gateway whose pro model a real llama.cpp server computes. */
import { createOpenAICompatible } from '@ai-sdk/openai-compatible';
import { generateText, jsonSchema, streamText, tool } from 'ai';
import OpenAI from 'openai';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { tinyVocabulary } from '../../ops/testing/tiny-vocabulary.ts';
import { createGateway } from '../gateway.ts';
import type { ServedRecord } from '../metering/served-record.ts';
import { poolOver } from '../origin/test/support/real-origins.ts';
import { parseCatalog } from '../routing/catalog.ts';
import { until } from './support/http.ts';
import { startToolEngine, TOOL_CALL_TOKEN_ID, type ToolEngine } from './support/tool-engine.ts';
import { serve, type TestServer } from './support/node-server.ts';
import { gatewayDeps, TEST_CATALOG, tinyModelFolder } from './support/real-gateway.ts';
import { ScriptedHead } from '../../ops/testing/scripted-head.ts';

const MODEL = 'lamina-pro';
/** Of the tiny model; an answer that is not aborted fits. */
const CONTEXT_LENGTH = 4096;
/** So many tokens take the tiny model long enough for an abort to arrive first. */
const LONG_ANSWER_TOKENS = 3500;

let engine: ToolEngine;
let server: TestServer;
let openai: OpenAI;
let folder: { remove: () => Promise<void> };
const records: ServedRecord[] = [];

beforeAll(async () => {
  engine = await startToolEngine(CONTEXT_LENGTH);
  const tiny = await tinyModelFolder();
  folder = tiny;
  const capabilities = ['chat', 'completion', 'tools', 'json_schema'];
  const app = createGateway({
    ...gatewayDeps(tiny.folder, new ScriptedHead(), records, []),
    catalog: parseCatalog(TEST_CATALOG),
    origins: poolOver([engine.url], { models: [{ public: MODEL, upstream: 'tiny', capabilities }] }),
  });
  server = await serve((request) => app.fetch(request));
  openai = new OpenAI({ baseURL: `${server.url}/v1`, apiKey: 'sk-local', maxRetries: 0 });
});
afterAll(async () => {
  await server?.close();
  await engine?.stop();
  await folder?.remove();
});
beforeEach(() => {
  records.length = 0;
});

/** Whether the engine computes anything, as it says itself. */
async function isEngineBusy(): Promise<boolean> {
  const slots = (await (await fetch(`${engine.url}/slots`)).json()) as { is_processing: boolean }[];
  return slots.some((slot) => slot.is_processing);
}

const untilFreed = (): Promise<void> => until(async () => !(await isEngineBusy()), 'the engine to stop');

/** No end of an answer, but its length. */
const { imEndId, endOfTextId } = tinyVocabulary();
const ENDLESS = { logit_bias: { [imEndId]: -100, [endOfTextId]: -100 } };

/** Without training there is no reason to call anything; what follows the first token of a call, and that
 * nothing ends before it, is the engine's grammar. */
const TO_CALL = { logit_bias: { [TOOL_CALL_TOKEN_ID]: 80, [imEndId]: 100 }, parallel_tool_calls: false };

const messages = [{ role: 'user' as const, content: 'Hello' }];
/** A choice among few: a model without any training can only make a valid one. */
const parameters = {
  type: 'object' as const,
  properties: { colour: { type: 'string' as const, enum: ['red', 'green'] } },
  required: ['colour'],
  additionalProperties: false,
};

describe('the openai client', () => {
  const CHAT = { model: MODEL, messages, max_tokens: 16, temperature: 0, ...ENDLESS };
  const TOOLS = {
    tools: [{ type: 'function' as const, function: { name: 'paint', description: 'Paints.', parameters } }],
    tool_choice: 'required' as const,
  };

  it('streams what it gets in one piece', async () => {
    const { data: answer, response } = await openai.chat.completions.create(CHAT).withResponse();
    expect(response.headers.get('x-lamina-served-by')).toBe('origins/a');
    expect(answer).toMatchObject({ model: MODEL, object: 'chat.completion', usage: { completion_tokens: 16 } });
    const stream = await openai.chat.completions.create({
      ...CHAT,
      stream: true,
      stream_options: { include_usage: true },
    });
    let text = '';
    let usage: OpenAI.CompletionUsage | null | undefined = null;
    for await (const chunk of stream) {
      expect(chunk.model).toBe(MODEL);
      text += chunk.choices[0]?.delta.content ?? '';
      usage = chunk.usage;
    }
    expect(text).toBe(answer.choices[0]?.message.content);
    expect(usage?.completion_tokens).toBe(16);
    expect(records).toMatchObject([
      { servedBy: 'origins/a', completionTokens: 16, isEstimated: false, outcome: 'completed' },
      { servedBy: 'origins/a', completionTokens: 16, isEstimated: false, outcome: 'completed' },
    ]);
  });

  it('calls a tool, streamed and not', async () => {
    const answer = await openai.chat.completions.create({ ...CHAT, ...TOOLS, max_tokens: 200, ...TO_CALL });
    const [call] = answer.choices[0]?.message.tool_calls ?? [];
    if (call?.type !== 'function') {
      throw new Error(`no tool call in ${JSON.stringify(answer)}`);
    }
    expect(call.function.name).toBe('paint');
    expect(['red', 'green']).toContain(JSON.parse(call.function.arguments).colour);
    expect(answer.choices[0]?.finish_reason).toBe('tool_calls');
    const runner = openai.chat.completions.stream({ ...CHAT, ...TOOLS, max_tokens: 200, ...TO_CALL });
    const final = await runner.finalChatCompletion();
    expect(final.choices[0]?.message.tool_calls?.[0]).toMatchObject({ function: { name: 'paint' } });
  });

  it('gets an answer of a schema', async () => {
    const answer = await openai.chat.completions.create({
      ...CHAT,
      max_tokens: 100,
      logit_bias: {},
      response_format: { type: 'json_schema', json_schema: { name: 'choice', schema: parameters, strict: true } },
    });
    expect(['red', 'green']).toContain(JSON.parse(answer.choices[0]?.message.content ?? '').colour);
  });

  it.each([true, false])('frees the engine when it aborts (stream: %s)', async (stream) => {
    const controller = new AbortController();
    const body = { ...CHAT, max_tokens: LONG_ANSWER_TOKENS };
    const { signal } = controller;
    const request = stream
      ? openai.chat.completions.create({ ...body, stream }, { signal })
      : openai.chat.completions.create({ ...body, stream }, { signal });
    const ended = Promise.resolve(request).then(async (answer) => {
      // The client ends an aborted stream without an exception.
      for await (const _chunk of answer as AsyncIterable<unknown>) {
        controller.abort();
      }
    });
    if (!stream) {
      await until(isEngineBusy, 'the engine to start');
      controller.abort();
      await expect(ended).rejects.toThrow(OpenAI.APIUserAbortError);
    }
    await untilFreed();
    await until(() => records.length === 1, 'the record');
    expect(records).toMatchObject([{ outcome: 'client_gone' }]);
    expect(records[0]?.completionTokens).toBeLessThan(LONG_ANSWER_TOKENS);
  });
});

describe('the AI SDK', () => {
  const model = () =>
    createOpenAICompatible({ name: 'lamina', baseURL: `${server.url}/v1`, apiKey: 'sk-local', includeUsage: true })(
      MODEL,
    );

  it('chats, streamed and not', async () => {
    const request = { model: model(), messages, maxOutputTokens: 16, temperature: 0, maxRetries: 0 };
    const whole = await generateText(request);
    const stream = streamText(request);
    expect(await stream.text).toBe(whole.text);
    expect((await stream.usage).outputTokens).toBe(16);
  });

  it('calls a tool', async () => {
    const { toolCalls } = await generateText({
      model: model(),
      messages,
      maxOutputTokens: 200,
      maxRetries: 0,
      toolChoice: 'required',
      providerOptions: { lamina: TO_CALL },
      tools: { paint: tool({ description: 'Paints.', inputSchema: jsonSchema(parameters) }) },
    });
    expect(toolCalls).toMatchObject([{ toolName: 'paint', input: { colour: expect.stringMatching(/^(red|green)$/) } }]);
  });

  it('frees the engine when it aborts', async () => {
    const controller = new AbortController();
    const stream = streamText({
      model: model(),
      messages,
      maxOutputTokens: LONG_ANSWER_TOKENS,
      maxRetries: 0,
      abortSignal: controller.signal,
      providerOptions: { lamina: ENDLESS },
    });
    for await (const _part of stream.textStream) {
      controller.abort();
    }
    await untilFreed();
    await until(() => records[0]?.outcome === 'client_gone', 'the record');
  });
});
