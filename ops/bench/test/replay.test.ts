import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { replay, replaySamples } from '../serve/replay.ts';
import type { StreamTiming, Target } from '../streams.ts';

const chunk = (value: unknown): string => `data: ${JSON.stringify(value)}\n\n`;

/** Streams as many tokens as it is asked for, and refuses requests for more than 10. */
function startServer(prompts: string[]): Promise<Server> {
  const server = createServer((request, response) => {
    let text = '';
    request.setEncoding('utf8').on('data', (part: string) => (text += part));
    request.on('end', () => {
      const body = JSON.parse(text) as { prompt: string; max_tokens: number };
      prompts.push(body.prompt);
      if (body.max_tokens > 10) {
        response.writeHead(429).end('{}');
        return;
      }
      response.writeHead(200, { 'content-type': 'text/event-stream' });
      for (let token = 0; token < body.max_tokens; token++) {
        response.write(chunk({ choices: [{ text: 'a' }] }));
      }
      const usage = { prompt_tokens: 7, completion_tokens: body.max_tokens };
      response.end(`${chunk({ choices: [], usage })}data: [DONE]\n\n`);
    });
  });
  return new Promise((resolve) => server.listen(0, '127.0.0.1', () => resolve(server)));
}

describe('replay', () => {
  const prompts: string[] = [];
  let server: Server;
  let target: Target;
  beforeAll(async () => {
    server = await startServer(prompts);
    const { port } = server.address() as AddressInfo;
    target = { name: 'fake', url: `http://127.0.0.1:${port}`, key: 'k', model: 'm' };
  });
  afterAll(() => server.close());

  it('sends every request when it is due, with a prompt of its own, and counts the refused', async () => {
    const slept: number[] = [];
    const requests = [
      { arrivalMs: 0, promptTokens: 20, outputTokens: 3 },
      { arrivalMs: 50, promptTokens: 40, outputTokens: 11 },
      { arrivalMs: 70, promptTokens: 20, outputTokens: 10 },
    ];
    const clock = { nowMs: () => performance.now(), sleep: async (ms: number) => void slept.push(ms) };
    const outcome = await replay(target, requests, 5, clock);
    expect(slept).toEqual([0, 50, 70]);
    expect(new Set(prompts).size).toBe(3);
    expect(outcome.numRefused).toBe(1);
    expect(outcome.timings.map((timing) => timing.completionTokens)).toEqual([3, 10]);
  });
});

describe('replaySamples', () => {
  const timing = (ttftMs: number, itlMs: number): StreamTiming => ({
    promptTokens: 5,
    completionTokens: 3,
    ttftMs,
    itlMs: [itlMs, itlMs],
    firstMs: ttftMs,
    lastMs: ttftMs + 2 * itlMs,
  });

  it('counts what met both goals, at the limit and past it', () => {
    const timings = [timing(100, 10), timing(101, 10), timing(100, 11)];
    const samples = replaySamples(
      'fake',
      2,
      { timings, numRefused: 1, spanMs: 2000 },
      { ttftMsMax: 100, itlMsMax: 10 },
    );
    const value = (scenario: string): number | undefined =>
      samples.find((sample) => sample.scenario === scenario)?.value;
    expect(value('goodput, requests')).toBe(0.5);
    expect(value('goodput, tokens')).toBe(1.5);
    expect(value('requests that met the goal')).toBe(25);
    expect(value('refused')).toBe(25);
    expect(value('first token p50')).toBe(100);
    expect(value('between tokens p99')).toBeCloseTo(11);
    expect(samples.every(({ target, round }) => target === 'fake' && round === 2)).toBe(true);
  });

  it('has no percentiles when everything was refused', () => {
    const samples = replaySamples('fake', 0, { timings: [], numRefused: 2, spanMs: 1 }, { ttftMsMax: 1, itlMsMax: 1 });
    expect(samples.map((sample) => sample.scenario)).not.toContain('first token p50');
  });
});
