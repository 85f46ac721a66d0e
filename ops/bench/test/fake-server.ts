/** A server of the completions API without a model: it streams as many tokens as it is asked for. */
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Target } from '../streams.ts';

export interface FakeServer {
  readonly target: Target;
  /** Of all requests, in the order in which they came. */
  readonly prompts: readonly string[];
  stop(): void;
}

const PROMPT_TOKENS = 8;
/** Of a prompt that begins like one before it. */
const CACHED_TOKENS = 6;

const chunk = (value: unknown): string => `data: ${JSON.stringify(value)}\n\n`;

/** @param tokensMax requests for more tokens are refused. */
export async function startFakeServer(tokensMax: number): Promise<FakeServer> {
  const prompts: string[] = [];
  const server = createServer((request, response) => {
    let text = '';
    request.setEncoding('utf8').on('data', (part: string) => (text += part));
    request.on('end', () => {
      const body = JSON.parse(text) as { prompt: string; max_tokens: number };
      prompts.push(body.prompt);
      if (body.max_tokens > tokensMax) {
        response.writeHead(429).end('{}');
        return;
      }
      response.writeHead(200, { 'content-type': 'text/event-stream' });
      for (let token = 0; token < body.max_tokens; token++) {
        response.write(chunk({ choices: [{ text: 'a' }] }));
      }
      const [earlier] = prompts.slice(0, -1).filter((prompt) => prompt.slice(0, 40) === body.prompt.slice(0, 40));
      const usage = {
        prompt_tokens: PROMPT_TOKENS,
        completion_tokens: body.max_tokens,
        prompt_tokens_details: { cached_tokens: earlier === undefined ? 0 : CACHED_TOKENS },
      };
      response.end(`${chunk({ choices: [], usage })}data: [DONE]\n\n`);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  return {
    target: { name: 'fake', url: `http://127.0.0.1:${port}`, key: 'key', model: 'model' },
    prompts,
    stop: () => void server.close(),
  };
}
