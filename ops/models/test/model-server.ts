/** A local HTTP server that behaves like a file host on a bad day, for the tests of the downloader. */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

export interface Behaviour {
  /** Closes the connection after this many bytes of each body. */
  readonly cutAfterBytes?: number;
  /** Ignores `Range` and always sends the whole file. */
  readonly ignoresRange?: boolean;
  readonly status?: number;
  /** Accepts the connection and never answers. */
  readonly isSilent?: boolean;
  /** Sends the headers and never a body. */
  readonly isStalled?: boolean;
}

export interface ModelServer {
  readonly url: string;
  /** The `Range` header of each request, in order; null where there was none. */
  readonly ranges: (string | null)[];
  close(): Promise<void>;
}

function respond(contents: Uint8Array, behaviour: Behaviour, request: IncomingMessage, response: ServerResponse): void {
  if (behaviour.isSilent === true) {
    return;
  }
  if (behaviour.status !== undefined) {
    response.writeHead(behaviour.status).end();
    return;
  }
  const range = behaviour.ignoresRange === true ? null : /^bytes=(\d+)-$/.exec(request.headers.range ?? '');
  const start = Number(range?.[1] ?? 0);
  if (start >= contents.length) {
    response.writeHead(416, { 'content-range': `bytes */${contents.length}` }).end();
    return;
  }
  const body = contents.subarray(start);
  response.writeHead(range === null ? 200 : 206, {
    'content-length': body.length,
    ...(range === null ? {} : { 'content-range': `bytes ${start}-${contents.length - 1}/${contents.length}` }),
  });
  if (behaviour.isStalled === true) {
    response.flushHeaders();
    return;
  }
  if (behaviour.cutAfterBytes !== undefined && behaviour.cutAfterBytes < body.length) {
    response.write(body.subarray(0, behaviour.cutAfterBytes), () => response.destroy());
    return;
  }
  response.end(body);
}

export async function startModelServer(contents: Uint8Array, behaviour: Behaviour = {}): Promise<ModelServer> {
  const ranges: (string | null)[] = [];
  const server = createServer((request, response) => {
    ranges.push(request.headers.range ?? null);
    respond(contents, behaviour, request, response);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}`,
    ranges,
    close: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
