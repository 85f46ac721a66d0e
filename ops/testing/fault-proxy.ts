/** A proxy in front of a real engine that does to its answers what networks and dying engines do. */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

export type Fault =
  | { readonly type: 'none' }
  /** Before the request is passed on. */
  | { readonly type: 'delay'; readonly ms: number }
  | { readonly type: 'hang' }
  | { readonly type: 'status'; readonly status: number; readonly headers?: Readonly<Record<string, string>> }
  /** The connection is reset before anything is answered. */
  | { readonly type: 'reset' }
  /** After so many events of the stream: the connection breaks, the body ends as if it were whole, or nothing more comes. */
  | { readonly type: 'cut' | 'early_end' | 'silence'; readonly afterEvents: number }
  | { readonly type: 'slow'; readonly msBetweenEvents: number }
  /** `/health` and `/v1/models` answer 200, nothing else ever does. */
  | { readonly type: 'lying_health' }
  /** 200 with a body that is no answer. */
  | { readonly type: 'body'; readonly contentType: string; readonly body: string };

export interface FaultProxy {
  readonly url: string;
  fault: Fault;
  /** POST requests that came in. */
  readonly numRequests: number;
  close(): Promise<void>;
}

export async function startFaultProxy(target: string): Promise<FaultProxy> {
  let numRequests = 0;
  const server = createServer((request, response) => {
    const gone = new AbortController();
    response.once('close', () => gone.abort());
    numRequests += request.method === 'POST' ? 1 : 0;
    respond(target, proxy.fault, request, response, gone.signal).catch(() => response.destroy());
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const proxy: FaultProxy = {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    fault: { type: 'none' },
    get numRequests() {
      return numRequests;
    },
    close: () => {
      server.closeAllConnections();
      return new Promise((resolve) => server.close(() => resolve()));
    },
  };
  return proxy;
}

async function respond(
  target: string,
  fault: Fault,
  request: IncomingMessage,
  response: ServerResponse,
  signal: AbortSignal,
): Promise<void> {
  const isProbe = request.method === 'GET';
  switch (fault.type) {
    case 'hang':
      return;
    case 'lying_health':
      if (isProbe) {
        response.end('{"status":"ok"}');
      }
      return;
    case 'reset':
      request.socket.resetAndDestroy();
      return;
    case 'status':
      response.writeHead(fault.status, { 'content-type': 'application/json', ...fault.headers });
      response.end('{"error":{"message":"injected"}}');
      return;
    case 'body':
      response.writeHead(200, { 'content-type': fault.contentType }).end(fault.body);
      return;
    case 'delay':
      await sleep(fault.ms);
      return forward(target, request, response, signal, fault);
    case 'none':
    case 'cut':
    case 'early_end':
    case 'silence':
    case 'slow':
      return forward(target, request, response, signal, isProbe ? { type: 'none' } : fault);
  }
}

async function forward(
  target: string,
  request: IncomingMessage,
  response: ServerResponse,
  signal: AbortSignal,
  fault: Fault,
): Promise<void> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of request) {
    chunks.push(chunk as Uint8Array);
  }
  const { authorization = '', 'content-type': contentType = 'application/json' } = request.headers;
  const answer = await fetch(target + (request.url ?? '/'), {
    method: request.method ?? 'GET',
    headers: { authorization, 'content-type': contentType },
    ...(chunks.length === 0 ? {} : { body: new Blob(chunks as Uint8Array<ArrayBuffer>[]) }),
    signal,
  });
  response.writeHead(answer.status, { 'content-type': answer.headers.get('content-type') ?? 'text/plain' });
  response.flushHeaders();
  let numEvents = 0;
  for await (const event of eventsOf(answer)) {
    if ('afterEvents' in fault && numEvents >= fault.afterEvents) {
      if (fault.type === 'cut') {
        // What was written arrives; the chunk that ends the body does not.
        request.socket.end();
      } else if (fault.type === 'early_end') {
        response.end();
      }
      return;
    }
    if (fault.type === 'slow') {
      await sleep(fault.msBetweenEvents);
    }
    response.write(event);
    numEvents++;
  }
  response.end();
}

/** The body in the pieces that blank lines end. */
async function* eventsOf(answer: Response): AsyncGenerator<string> {
  const decoder = new TextDecoder();
  let text = '';
  for await (const chunk of answer.body ?? []) {
    text += decoder.decode(chunk, { stream: true });
    for (let end = text.indexOf('\n\n'); end >= 0; end = text.indexOf('\n\n')) {
      yield text.slice(0, end + 2);
      text = text.slice(end + 2);
    }
  }
  yield text;
}

function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => {
    setTimeout(resolve, ms);
  });
}
