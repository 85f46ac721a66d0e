/** Both interfaces over the real engine with a tiny random model: shapes, and that text, tokens and counts agree. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { post, sseData, until } from './support/http.ts';
import { startRealGateway, TEST_MODEL, type TestGateway } from './support/real-gateway.ts';

let gateway: TestGateway;
beforeAll(async () => {
  gateway = await startRealGateway();
});
afterAll(() => gateway.close());

const CHAT = { model: TEST_MODEL, messages: [{ role: 'user', content: 'Hello there' }], max_tokens: 12, seed: 3 };

async function postJson(route: string, body: object) {
  const response = await post(gateway.app, route, body);
  expect(response.status).toBe(200);
  return JSON.parse(await response.text());
}

/** The chunks of a stream that must end with [DONE]. */
async function postStream(route: string, body: object) {
  const response = await post(gateway.app, route, { ...body, stream: true });
  expect(response.headers.get('content-type')).toContain('text/event-stream');
  const data = sseData(await response.text());
  expect(data.at(-1)).toBe('[DONE]');
  return data.slice(0, -1).map((text) => JSON.parse(text));
}

describe('chat completions', () => {
  it('answers with text, finish reason and usage', async () => {
    const answer = await postJson('/v1/chat/completions', CHAT);
    expect(answer).toMatchObject({
      object: 'chat.completion',
      created: 1_700_000_000,
      model: TEST_MODEL,
      choices: [{ index: 0, message: { role: 'assistant', refusal: null }, logprobs: null, finish_reason: 'length' }],
      usage: { completion_tokens: 12 },
    });
    expect(answer.choices[0].message.content).not.toBe('');
    expect(answer.usage.total_tokens).toBe(answer.usage.prompt_tokens + 12);
  });

  it('streams the same text that it answers with', async () => {
    const answer = await postJson('/v1/chat/completions', CHAT);
    const chunks = await postStream('/v1/chat/completions', { ...CHAT, stream_options: { include_usage: true } });
    const text = chunks.map((chunk) => chunk.choices[0]?.delta.content ?? '').join('');
    expect(text).toBe(answer.choices[0].message.content);
    expect(chunks[0].choices[0].delta).toEqual({ role: 'assistant', content: '', refusal: null });
    expect(chunks.at(-1)).toMatchObject({ choices: [], usage: { completion_tokens: 12 } });
    expect(chunks.slice(0, -1).every((chunk) => chunk.usage === null)).toBe(true);
    expect(chunks.at(-2).choices[0]).toMatchObject({ delta: {}, finish_reason: 'length' });
  });

  it('leaves usage out of a stream that did not ask for it', async () => {
    const chunks = await postStream('/v1/chat/completions', CHAT);
    expect(chunks.some((chunk) => 'usage' in chunk)).toBe(false);
  });

  it('gives each choice the seed that follows, and the same answer for the same seed', async () => {
    const both = await postJson('/v1/chat/completions', { ...CHAT, n: 2 });
    const second = await postJson('/v1/chat/completions', { ...CHAT, seed: CHAT.seed + 1 });
    expect(both.choices).toHaveLength(2);
    expect(both.choices[1].message.content).toBe(second.choices[0].message.content);
    expect(both.choices[0].message.content).not.toBe(both.choices[1].message.content);
    expect(both.usage.completion_tokens).toBe(24);
    expect(both.usage.prompt_tokens).toBe(second.usage.prompt_tokens);
  });

  it('reports log-probabilities whose bytes spell the answer', async () => {
    const answer = await postJson('/v1/chat/completions', { ...CHAT, logprobs: true, top_logprobs: 3 });
    const { content } = answer.choices[0].logprobs;
    expect(content).toHaveLength(12);
    const bytes = content.flatMap((entry: { bytes: number[] }) => entry.bytes);
    expect(new TextDecoder().decode(Uint8Array.from(bytes))).toBe(answer.choices[0].message.content);
    for (const { logprob, top_logprobs: top } of content) {
      expect(top).toHaveLength(3);
      expect(logprob).toBeLessThanOrEqual(0);
      expect(top[0].logprob).toBeGreaterThanOrEqual(top[1].logprob);
    }
  });

  it('ends before a stop string, wherever token borders lie, and stops generating', async () => {
    const { message } = (await postJson('/v1/chat/completions', CHAT)).choices[0];
    const characters = [...message.content];
    const stop = characters.slice(3, 5).join('');
    const stopped = await postJson('/v1/chat/completions', { ...CHAT, stop });
    expect(stopped.choices[0].finish_reason).toBe('stop');
    expect(stopped.choices[0].message.content).toBe(message.content.slice(0, message.content.indexOf(stop)));
    expect(stopped.usage.completion_tokens).toBeLessThan(12);
    await until(async () => (await gateway.head.stats()).numRunning === 0, 'the engine to stop');
  });

  it('accepts its own answer as part of a conversation, text parts, and the newer names', async () => {
    const { message } = (await postJson('/v1/chat/completions', CHAT)).choices[0];
    const answer = await postJson('/v1/chat/completions', {
      model: 'tiny',
      messages: [
        {
          role: 'developer',
          content: [
            { type: 'text', text: 'Be ' },
            { type: 'text', text: 'brief.' },
          ],
        },
        ...CHAT.messages,
        message,
        { role: 'user', content: 'Go on' },
      ],
      max_completion_tokens: 2,
      response_format: { type: 'text' },
      tools: null,
      user: 'somebody',
    });
    expect(answer.usage.completion_tokens).toBe(2);
    expect(answer.model).toBe(TEST_MODEL);
  });
});

describe('completions', () => {
  const PROMPT = 'The cat and the hat';

  it('scores a prompt without generating: echo, logprobs, max_tokens 0', async () => {
    const answer = await postJson('/v1/completions', {
      model: TEST_MODEL,
      prompt: PROMPT,
      max_tokens: 0,
      echo: true,
      logprobs: 2,
    });
    const [{ text, logprobs, finish_reason: finishReason }] = answer.choices;
    expect(text).toBe(PROMPT);
    expect(finishReason).toBe('length');
    expect(logprobs.tokens.join('')).toBe(PROMPT);
    expect(logprobs.token_logprobs[0]).toBeNull();
    expect(logprobs.top_logprobs[0]).toBeNull();
    expect(logprobs.token_logprobs.slice(1).every((value: number) => value < 0)).toBe(true);
    expect(logprobs.text_offset).toEqual(
      logprobs.tokens.map((_: string, index: number) => logprobs.tokens.slice(0, index).join('').length),
    );
    logprobs.top_logprobs.slice(1).forEach((top: Record<string, number>, index: number) => {
      expect(top[logprobs.tokens[index + 1]]).toBe(logprobs.token_logprobs[index + 1]);
    });
    expect(answer.usage).toMatchObject({ prompt_tokens: logprobs.tokens.length, completion_tokens: 0 });
  });

  it('scores token ids as it scores the text they stand for', async () => {
    const options = { model: TEST_MODEL, max_tokens: 1, echo: true, logprobs: 0, temperature: 0 };
    const ofText = await postJson('/v1/completions', { ...options, prompt: 'abc' });
    // The tiny vocabulary: 3 control tokens, then the bytes in order.
    const ids = ['a', 'b', 'c'].map((letter) => 3 + letter.charCodeAt(0));
    const ofIds = await postJson('/v1/completions', { ...options, prompt: [ids, ids] });
    expect(ofIds.choices).toHaveLength(2);
    expect(ofIds.choices[1].logprobs).toEqual(ofText.choices[0].logprobs);
    expect(ofIds.choices[0].text).toBe(ofText.choices[0].text);
  });

  it('numbers the choices of several prompts prompt by prompt', async () => {
    const body = { model: TEST_MODEL, max_tokens: 4, seed: 5 };
    const together = await postJson('/v1/completions', { ...body, prompt: ['one', 'two'], n: 2 });
    expect(together.choices.map((choice: { index: number }) => choice.index)).toEqual([0, 1, 2, 3]);
    const alone = await postJson('/v1/completions', { ...body, prompt: 'two', n: 2 });
    expect(together.choices.slice(2).map((choice: { text: string }) => choice.text)).toEqual(
      alone.choices.map((choice: { text: string }) => choice.text),
    );
  });

  it('streams echo, text and log-probabilities that add up to the answer', async () => {
    const body = { model: TEST_MODEL, prompt: PROMPT, max_tokens: 6, echo: true, logprobs: 1, seed: 2 };
    const answer = await postJson('/v1/completions', body);
    const chunks = await postStream('/v1/completions', body);
    const choices = chunks.map((chunk) => chunk.choices[0]);
    expect(choices.map((choice) => choice.text).join('')).toBe(answer.choices[0].text);
    expect(choices.flatMap((choice) => choice.logprobs?.tokens ?? [])).toEqual(answer.choices[0].logprobs.tokens);
    expect(answer.choices[0].logprobs.text_offset[answer.usage.prompt_tokens]).toBe(PROMPT.length);
    expect(choices.flatMap((choice) => choice.logprobs?.text_offset ?? [])).toEqual(
      answer.choices[0].logprobs.text_offset,
    );
  });

  it('uses the default of 16 tokens and keeps within the context', async () => {
    expect((await postJson('/v1/completions', { model: TEST_MODEL, prompt: 'x' })).usage.completion_tokens).toBe(16);
    const prompt = Array.from({ length: 510 }, () => 40);
    const full = await postJson('/v1/completions', { model: TEST_MODEL, prompt, max_tokens: 2 });
    expect(full.usage.total_tokens).toBe(512);
  });
});

describe('records', () => {
  it('writes one per request, with what was served', async () => {
    gateway.records.length = 0;
    await postJson('/v1/chat/completions', { ...CHAT, n: 2 });
    await (await post(gateway.app, '/v1/chat/completions', { ...CHAT, n: 0 })).text();
    await (await post(gateway.app, '/v1/chat/completions', CHAT, { authorization: 'Bearer wrong' })).text();
    expect(gateway.records).toHaveLength(2);
    expect(gateway.records[0]).toMatchObject({
      surface: 'chat.completions',
      model: TEST_MODEL,
      numChoices: 2,
      completionTokens: 24,
      finishReasons: ['length', 'length'],
      outcome: 'completed',
      numResumes: 0,
    });
    expect(gateway.records[1]).toMatchObject({ outcome: 'refused', errorCode: 'invalid_value', completionTokens: 0 });
  });
});
