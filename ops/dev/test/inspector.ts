/** Asks the Workers runtime for the heap of an isolate, through its inspector (Chrome DevTools protocol). */

/** What V8 calls them, in bytes: committed heap, and buffers outside of it. WebAssembly memories are in neither. */
export interface HeapUsage {
  readonly totalSize: number;
  readonly backingStorageSize: number;
}

interface Target {
  readonly id: string;
  readonly webSocketDebuggerUrl: string;
}

async function connect(inspectorUrl: URL, scriptName: string): Promise<WebSocket> {
  const listUrl = new URL('/json', inspectorUrl.href.replace(/^ws/, 'http'));
  const targets = (await (await fetch(listUrl)).json()) as Target[];
  const target = targets.find(({ id }) => id === `core:user:${scriptName}`);
  if (target === undefined) {
    throw new Error(`The inspector does not list ${scriptName}.`);
  }
  const socket = new WebSocket(target.webSocketDebuggerUrl);
  await new Promise((resolve, reject) => {
    socket.addEventListener('open', resolve);
    socket.addEventListener('error', reject);
  });
  return socket;
}

/** Sends one command and resolves to its result. */
function command<T>(socket: WebSocket, id: number, method: string): Promise<T> {
  const result = new Promise<T>((resolve, reject) => {
    const listen = (event: MessageEvent): void => {
      const message = JSON.parse(String(event.data)) as { id?: number; result?: T; error?: { message: string } };
      if (message.id === id) {
        socket.removeEventListener('message', listen);
        if (message.result === undefined) {
          reject(new Error(message.error?.message ?? `${method} failed.`));
        } else {
          resolve(message.result);
        }
      }
    };
    socket.addEventListener('message', listen);
  });
  socket.send(JSON.stringify({ id, method, params: {} }));
  return result;
}

/**
 * Heap of a script's isolate after a collection.
 * @param enter makes the isolate run: it collects when it is entered the next time, not while it is idle.
 */
export async function heapAfterCollection(
  inspectorUrl: URL,
  scriptName: string,
  enter: () => Promise<unknown>,
): Promise<HeapUsage> {
  const socket = await connect(inspectorUrl, scriptName);
  try {
    await command(socket, 1, 'HeapProfiler.enable');
    const collected = command(socket, 2, 'HeapProfiler.collectGarbage');
    await enter();
    await collected;
    return await command<HeapUsage>(socket, 3, 'Runtime.getHeapUsage');
  } finally {
    socket.close();
  }
}
