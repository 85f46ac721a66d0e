/** Where the files of a converted model come from: static assets when deployed, a folder in a test. */
export interface AssetSource {
  /** @returns the file's bytes from its beginning, or null when there is no such file. */
  open(name: string): Promise<ReadableStream<Uint8Array> | null>;
}

/**
 * Reads a small file whole.
 * @returns null when there is no such file, `'too_large'` when it holds more than `bytesMax` (the rest is not read).
 */
export async function readAsset(
  assets: AssetSource,
  name: string,
  bytesMax: number,
): Promise<Uint8Array<ArrayBuffer> | null | 'too_large'> {
  const stream = await assets.open(name);
  if (stream === null) {
    return null;
  }
  const chunks: Uint8Array[] = [];
  let numBytes = 0;
  const reader = stream.getReader();
  for (;;) {
    const { done, value } = await reader.read();
    if (done) {
      break;
    }
    numBytes += value.byteLength;
    if (numBytes > bytesMax) {
      await reader.cancel();
      return 'too_large';
    }
    chunks.push(value);
  }
  const bytes = new Uint8Array(numBytes);
  let offset = 0;
  for (const chunk of chunks) {
    bytes.set(chunk, offset);
    offset += chunk.byteLength;
  }
  return bytes;
}

/**
 * Bytes of one read of a stream of bytes. Read without a buffer, a stream of the Workers runtime comes in pieces of 4 kB, each
 * with a turn of the event loop: 23,000 of them for 92 MB, which take four times as long as all else that loading does.
 */
export const CHUNK_BYTES = 64 * 1024;

export interface ChunkReader {
  /** @returns the next bytes, which are there until the next call; null at the end */
  read(): Promise<Uint8Array | null>;
  cancel(): Promise<void>;
}

/** Reads a stream in large pieces where it can be read into a buffer, and as it comes where not. */
export function openChunks(stream: ReadableStream<Uint8Array>): ChunkReader {
  const byteReader = tryByteReader(stream);
  if (byteReader === null) {
    const reader = stream.getReader();
    return { read: async () => (await reader.read()).value ?? null, cancel: () => reader.cancel() };
  }
  let buffer = new ArrayBuffer(CHUNK_BYTES);
  return {
    async read() {
      const { done, value } = await byteReader.read(new Uint8Array(buffer, 0, CHUNK_BYTES));
      if (done) {
        return null;
      }
      // The same memory: a read may take the old buffer's away.
      buffer = value.buffer;
      return value;
    },
    cancel: () => byteReader.cancel(),
  };
}

/** Null for a stream of chunks that somebody made, as tests and simulations do. */
function tryByteReader(stream: ReadableStream<Uint8Array>): ReadableStreamBYOBReader | null {
  try {
    return stream.getReader({ mode: 'byob' });
  } catch {
    return null;
  }
}
