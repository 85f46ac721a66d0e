/** An origin with the manners of vLLM, and single faults that real ones have had. */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { DRAIN_TOKENS } from '../check/operation-checks.ts';

export type Fault =
  | 'none'
  | 'open to everyone'
  | 'does not count'
  | 'ends without [DONE]'
  | 'healthy but dead'
  | 'V0 metrics'
  | 'works on after an abort'
  | 'shares its cache among tenants'
  | 'queues everything'
  | 'fails under load'
  | 'stops at once';

export interface FakeOrigin {
  readonly url: string;
  close(): Promise<void>;
}

export const FAKE_KEY = 'sk-fake';
/** Requests that are taken at the same time; more are refused. */
const CONCURRENCY_MAX = 20;
const CONTEXT = 600;

interface ChatBody {
  readonly max_tokens: number;
  readonly stream?: boolean;
  readonly cache_salt?: string;
  readonly messages: readonly { readonly content: string }[];
}

async function readBody(request: IncomingMessage): Promise<ChatBody> {
  let text = '';
  for await (const bytes of request) {
    text += String(bytes);
  }
  return JSON.parse(text) as ChatBody;
}

/** The state of one engine: what its metrics tell. */
class FakeEngine {
  readonly fault: Fault;
  #running = 0;
  #generated = 0;
  #isStopped = false;
  readonly #toldToStop = Promise.withResolvers<void>();
  readonly #cached = new Set<string>();

  constructor(fault: Fault) {
    this.fault = fault;
  }

  metrics(): string {
    const names = this.fault === 'V0 metrics' ? { cache: 'gpu_cache_usage_perc' } : { cache: 'kv_cache_usage_perc' };
    return [
      '# TYPE vllm:num_requests_running gauge',
      `vllm:num_requests_running{engine="0"} ${this.#running}`,
      'vllm:num_requests_waiting{engine="0"} 0',
      `vllm:${names.cache}{engine="0"} 0.0`,
      'vllm:time_to_first_token_seconds_count{engine="0"} 1',
      `vllm:generation_tokens_total{engine="0"} ${this.#generated}`,
    ].join('\n');
  }

  stop(): void {
    this.#isStopped = this.fault === 'stops at once';
    this.#toldToStop.resolve();
  }

  async chat(body: ChatBody, response: ServerResponse): Promise<void> {
    if (this.fault === 'healthy but dead') {
      response.writeHead(500).end('CUDA error');
      return;
    }
    if (this.#running >= CONCURRENCY_MAX && this.fault !== 'queues everything') {
      response.writeHead(this.fault === 'fails under load' ? 500 : 503).end('too many requests');
      return;
    }
    this.#running += 1;
    try {
      await this.#generate(body, response);
    } finally {
      this.#running -= 1;
    }
  }

  async #generate(body: ChatBody, response: ServerResponse): Promise<void> {
    const isStream = body.stream === true;
    const send = (value: unknown): void => void response.write(`data: ${JSON.stringify(value)}\n\n`);
    for (let count = 1; count <= body.max_tokens; count += 1) {
      await sleep(1);
      if (body.max_tokens === DRAIN_TOKENS && count === DRAIN_TOKENS / 2) {
        // The drain is to find it at work, however long the command takes to start.
        await this.#toldToStop.promise;
      }
      if (this.#isStopped || (response.destroyed && this.fault !== 'works on after an abort')) {
        response.destroy();
        return;
      }
      this.#generated += 1;
      if (isStream) {
        send({ choices: [{ index: 0, delta: { content: 'x' }, finish_reason: null }] });
      }
    }
    const usage = { completion_tokens: body.max_tokens, prompt_tokens_details: { cached_tokens: this.#reuse(body) } };
    if (!isStream) {
      const choices = [{ index: 0, message: { role: 'assistant', content: 'x' }, finish_reason: 'length' }];
      response.end(JSON.stringify({ choices, ...(this.fault === 'does not count' ? {} : { usage }) }));
      return;
    }
    send({ choices: [{ index: 0, delta: {}, finish_reason: 'length' }] });
    send({ choices: [], usage });
    response.end(this.fault === 'ends without [DONE]' ? '' : 'data: [DONE]\n\n');
  }

  #reuse({ messages, cache_salt: salt = '' }: ChatBody): number {
    const prefix = `${this.fault === 'shares its cache among tenants' ? '' : salt}/${messages[0]?.content ?? ''}`;
    const isCached = this.#cached.has(prefix);
    this.#cached.add(prefix);
    return isCached ? 256 : 0;
  }
}

async function answer(engine: FakeEngine, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const isPublic = request.url === '/health' || request.url === '/metrics' || request.url === '/stop';
  const isAllowed = request.headers.authorization === `Bearer ${FAKE_KEY}` || engine.fault === 'open to everyone';
  if (!isPublic && !isAllowed) {
    response.writeHead(401).end();
  } else if (request.url === '/v1/models') {
    response.end(JSON.stringify({ data: [{ id: 'glm', owned_by: 'vllm', max_model_len: CONTEXT }] }));
  } else if (request.url === '/metrics') {
    response.end(engine.metrics());
  } else if (request.url === '/v1/chat/completions') {
    await engine.chat(await readBody(request), response);
  } else {
    if (request.url === '/stop') {
      engine.stop();
    }
    response.end('{}');
  }
}

export async function startFakeOrigin(fault: Fault): Promise<FakeOrigin> {
  const engine = new FakeEngine(fault);
  const server = createServer((request, response) => void answer(engine, request, response));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    close: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
