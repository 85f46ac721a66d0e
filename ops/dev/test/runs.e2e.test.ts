/**
 * Answers that survive: the whole local runtime is killed in the middle of a stream, and the client that comes back to
 * the next one gets the rest. With the default model, whose answers last long enough to be interrupted.
 */
import OpenAI from 'openai';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type PlatformProcess, startPlatformProcess } from '../../testing/platform-process.ts';
import { createTestHome, type TestHome } from '../../testing/test-home.ts';

const CHAT = {
  model: 'lamina-lite',
  messages: [{ role: 'user' as const, content: 'Tell me a long story about a lighthouse.' }],
  max_tokens: 160,
  temperature: 0.8,
  seed: 11,
};

let home: TestHome;
let platform: PlatformProcess;
const start = async (): Promise<void> => {
  platform = await startPlatformProcess({ args: ['--home', home.path] });
};
beforeAll(async () => {
  home = await createTestHome();
  await start();
});
afterAll(async () => {
  await platform?.stop();
  await home?.remove();
});

const HEADERS = { authorization: 'Bearer sk-local', 'content-type': 'application/json' };

const ask = (key: string): Promise<Response> =>
  fetch(`${platform.url}/v1/chat/completions`, {
    method: 'POST',
    headers: { ...HEADERS, 'idempotency-key': key },
    body: JSON.stringify({ ...CHAT, stream: true }),
  });

/** Tokens that this life of the runtime has generated: that it was not all over before the kill. */
async function numGenerated(): Promise<number> {
  const response = await fetch(`${platform.url}/healthz?deep=1`, { headers: HEADERS });
  const body = (await response.json()) as { rings: { replicas: { stats: { numGeneratedTokensTotal: number } }[] }[] };
  return body.rings[0]?.replicas[0]?.stats.numGeneratedTokensTotal ?? 0;
}

interface NumberedEvent {
  readonly number: number;
  readonly data: string;
}

/** Whole events of a text that may end inside one. */
const eventsOf = (text: string): NumberedEvent[] =>
  [...text.matchAll(/^id: (\d+)\ndata: (.*)\n\n/gm)].map(([, number, data]) => ({
    number: Number(number),
    data: String(data),
  }));

const textOf = (events: readonly NumberedEvent[]): string =>
  events
    .filter(({ data }) => data !== '[DONE]')
    .map(({ data }) => JSON.parse(data).choices[0]?.delta.content ?? '')
    .join('');

/** Reads until the connection breaks, or `onEvents` says that it is enough. */
async function readUntil(response: Response, isEnough: (events: NumberedEvent[]) => boolean): Promise<NumberedEvent[]> {
  let text = '';
  try {
    for await (const piece of (response.body ?? new ReadableStream()).pipeThrough(new TextDecoderStream())) {
      text += piece;
      if (isEnough(eventsOf(text))) {
        break;
      }
    }
  } catch {
    // The connection broke, as it was meant to.
  }
  return eventsOf(text);
}

describe('a stream with an Idempotency-Key', () => {
  it('goes on after the whole runtime was killed', async () => {
    const undisturbed = await readUntil(await ask('undisturbed'), () => false);
    expect(undisturbed.at(-1)?.data).toBe('[DONE]');
    const begun = await readUntil(await ask('disturbed'), (events) => {
      if (events.length < 12) {
        return false;
      }
      void platform.stop('SIGKILL');
      return true;
    });
    const last = begun.at(-1) ?? { number: -1, data: '' };
    expect(last.data).not.toBe('[DONE]');
    await platform.stop('SIGKILL');
    await start();
    const { id } = JSON.parse(last.data) as { id: string };
    const response = await fetch(`${platform.url}/v1/responses/${id}?stream=true`, {
      headers: { ...HEADERS, 'last-event-id': String(last.number) },
    });
    const rest = await readUntil(response, () => false);
    const all = [...begun, ...rest];
    expect(await numGenerated()).toBeGreaterThan(20);
    expect(all.map(({ number }) => number)).toEqual(undisturbed.map((_, index) => index));
    expect(textOf(all)).toBe(textOf(undisturbed));
    expect(all.at(-1)?.data).toBe('[DONE]');
  });

  it('can be read by the official client, which sees where it stands', async () => {
    const client = new OpenAI({ baseURL: `${platform.url}/v1`, apiKey: 'sk-local', maxRetries: 0 });
    const stream = await client.chat.completions.create(
      { ...CHAT, max_tokens: 40, stream: true },
      { headers: { 'Idempotency-Key': 'official' } },
    );
    const seen: { id: string; number: number; text: string }[] = [];
    for await (const chunk of stream) {
      const { sequence_number: number } = chunk as unknown as { sequence_number: number };
      seen.push({ id: chunk.id, number, text: chunk.choices[0]?.delta.content ?? '' });
    }
    expect(seen.map(({ number }) => number)).toEqual(seen.map((_, index) => index));
    const { id = '' } = seen[0] ?? {};
    const rest: string[] = [];
    for await (const chunk of await client.responses.retrieve(id, { stream: true, starting_after: 5 })) {
      rest.push((chunk as unknown as OpenAI.ChatCompletionChunk).choices[0]?.delta.content ?? '');
    }
    const text = (from: number): string =>
      seen
        .slice(from)
        .map((event) => event.text)
        .join('');
    expect(rest.join('')).toBe(text(6));
    const whole = await client.responses.retrieve(id);
    expect(whole.status).toBe('completed');
    expect(whole.output_text).toBe(text(0));
    await client.responses.delete(id);
    await expect(client.responses.retrieve(id)).rejects.toMatchObject({ status: 404 });
  });
});
