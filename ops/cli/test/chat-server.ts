/** A server with the OpenAI API whose answers a test decides, for the tests of `lamina chat`. */
import { createServer, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

export interface FakeChatServer {
  readonly url: string;
  /** Bodies of the chat requests so far. */
  readonly requests: {
    readonly model: string;
    readonly messages: { readonly role: string; readonly content: string }[];
  }[];
  /** Resolves when a client has gone away in the middle of an answer. */
  readonly clientLeft: Promise<void>;
  close(): Promise<void>;
}

export interface FakeChatOptions {
  /** Pieces of each answer; the answer never ends after them when `hangs`. */
  readonly pieces?: readonly string[];
  readonly hangs?: boolean;
  readonly status?: number;
}

const sse = (value: unknown): string => `data: ${typeof value === 'string' ? value : JSON.stringify(value)}\n\n`;

function stream(response: ServerResponse, pieces: readonly string[], hangs: boolean): void {
  response.writeHead(200, { 'content-type': 'text/event-stream' });
  for (const content of pieces) {
    response.write(sse({ choices: [{ delta: { content }, finish_reason: null }] }));
  }
  if (hangs) {
    return;
  }
  response.write(sse({ choices: [{ delta: {}, finish_reason: 'stop' }] }));
  response.write(sse({ choices: [], usage: { completion_tokens: pieces.length } }));
  response.end(sse('[DONE]'));
}

export async function startChatServer(options: FakeChatOptions = {}): Promise<FakeChatServer> {
  const { pieces = ['Hello', ' wörld'], hangs = false, status } = options;
  const requests: FakeChatServer['requests'] = [];
  let onClientLeft: () => void = () => undefined;
  const clientLeft = new Promise<void>((resolve) => {
    onClientLeft = resolve;
  });
  const server = createServer((request, response) => {
    if (request.headers.authorization !== 'Bearer sk-local' || status !== undefined) {
      response.writeHead(status ?? 401).end(JSON.stringify({ error: { message: 'The key is wrong.' } }));
      return;
    }
    if (request.url === '/v1/models') {
      response.end(JSON.stringify({ data: [{ id: 'first-model' }, { id: 'second-model' }] }));
      return;
    }
    let body = '';
    request.setEncoding('utf8').on('data', (text: string) => {
      body += text;
    });
    request.on('end', () => {
      requests.push(JSON.parse(body) as FakeChatServer['requests'][number]);
      response.on('close', () => {
        if (!response.writableFinished) {
          onClientLeft();
        }
      });
      stream(response, pieces, hangs);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    requests,
    clientLeft,
    close: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
