/**
 * The official client against the platform as a user starts it, with the default model: streaming, an abort that frees
 * the sequence, and eight requests at once that answer as if each were alone.
 */
import OpenAI from 'openai';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { EngineStats } from '../../../shards/engine/protocol.ts';
import { type PlatformProcess, startPlatformProcess } from '../../testing/platform-process.ts';
import { createTestHome, type TestHome } from '../../testing/test-home.ts';

const MODEL = 'lamina-lite';
/** A cancelled sequence is gone within a step or two; this only bounds a failing test. */
const POLL_MS_MAX = 10_000;

let home: TestHome;
let platform: PlatformProcess;
let client: OpenAI;

async function stats(): Promise<EngineStats> {
  const response = await fetch(`${platform.url}/healthz?deep=1`, { headers: { authorization: 'Bearer sk-local' } });
  const body = (await response.json()) as { rings: { replicas: { stats: EngineStats }[] }[] };
  const first = body.rings[0]?.replicas[0];
  if (first === undefined) {
    throw new Error(`healthz lists no replica: ${JSON.stringify(body)}`);
  }
  return first.stats;
}

/** Asks again and again until the scheduler holds nothing, or time is up; returns what it held last. */
async function untilIdle(): Promise<EngineStats> {
  const deadline = performance.now() + POLL_MS_MAX;
  let latest = await stats();
  while (latest.numRunning + latest.numWaiting > 0 && performance.now() < deadline) {
    latest = await stats();
  }
  return latest;
}

beforeAll(async () => {
  home = await createTestHome();
  platform = await startPlatformProcess({ args: ['--home', home.path] });
  client = new OpenAI({ baseURL: `${platform.url}/v1`, apiKey: 'sk-local', maxRetries: 0 });
});

afterAll(async () => {
  await platform?.stop();
  await home?.remove();
});

describe('the openai client', () => {
  it('streams the same answer that it gets in one piece', async () => {
    const request = {
      model: MODEL,
      messages: [{ role: 'user' as const, content: 'Name three colours of the rainbow.' }],
      temperature: 0,
      max_tokens: 40,
    };
    const whole = await client.chat.completions.create(request);
    const stream = await client.chat.completions.create({
      ...request,
      stream: true,
      stream_options: { include_usage: true },
    });
    let text = '';
    let numChunks = 0;
    let completionTokens = 0;
    for await (const chunk of stream) {
      text += chunk.choices[0]?.delta.content ?? '';
      numChunks += 1;
      completionTokens = chunk.usage?.completion_tokens ?? completionTokens;
    }
    expect(text).toBe(whole.choices[0]?.message.content);
    expect(text.length).toBeGreaterThan(10);
    expect(numChunks).toBeGreaterThan(5);
    expect(completionTokens).toBe(whole.usage?.completion_tokens);
  });

  it.each([{ stream: true }, { stream: false }])(
    'frees the sequence of a client that goes away ($stream)',
    async (how) => {
      const abort = new AbortController();
      const before = (await untilIdle()).numGeneratedTokensTotal;
      const request = { model: MODEL, prompt: 'Once upon a time', max_tokens: 4000, temperature: 1.2, seed: 7 };
      const answer = client.completions.create({ ...request, ...how }, { signal: abort.signal });
      const reading = (async () => {
        const result = await answer;
        for await (const chunk of 'choices' in result ? [] : result) {
          expect(chunk.object).toBe('text_completion');
        }
      })();
      // Gone only once it has really begun.
      while ((await stats()).numGeneratedTokensTotal < before + 5) {
        expect(abort.signal.aborted).toBe(false);
      }
      abort.abort();
      await reading.catch(() => undefined);
      const idle = await untilIdle();
      expect(idle.numRunning + idle.numWaiting).toBe(0);
      expect(idle.numFreePages).toBe(idle.numPages);
      expect(idle.numGeneratedTokensTotal - before).toBeLessThan(4000);
    },
  );

  it('serves eight requests at once, each as if it were alone', async () => {
    const topics = ['bread', 'the sea', 'a train', 'winter', 'a piano', 'bees', 'the moon', 'a market'];
    const ask = async (topic: string): Promise<string> => {
      const answer = await client.chat.completions.create({
        model: MODEL,
        messages: [{ role: 'user', content: `Write one sentence about ${topic}.` }],
        temperature: 0.8,
        seed: 11,
        max_tokens: 24,
      });
      return answer.choices[0]?.message.content ?? '';
    };
    const together = await Promise.all(topics.map(ask));
    const alone: string[] = [];
    for (const topic of topics) {
      alone.push(await ask(topic));
    }
    expect(together).toEqual(alone);
    expect(new Set(together).size).toBe(topics.length);
  });
});
