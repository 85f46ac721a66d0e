import { describe, expect, it } from 'vitest';
import { CHUNK_BYTES, openChunks } from '../assets.ts';

const CONTENT = Uint8Array.from({ length: 3 * CHUNK_BYTES + 17 }, (_, i) => i * 7 + (i >> 9));
const PIECE_BYTES = 1000;

/** The same bytes in many small pieces, as a stream of bytes or of chunks. */
function streamOf(type: 'bytes' | undefined, onCancel?: () => void): ReadableStream<Uint8Array> {
  let offset = 0;
  const source = {
    pull(controller: ReadableByteStreamController | ReadableStreamDefaultController<Uint8Array<ArrayBuffer>>): void {
      if (offset >= CONTENT.length) {
        controller.close();
        // Whoever waits with a buffer of its own is told, too.
        (controller as Partial<ReadableByteStreamController>).byobRequest?.respond(0);
        return;
      }
      controller.enqueue(CONTENT.slice(offset, offset + PIECE_BYTES));
      offset += PIECE_BYTES;
    },
    ...(onCancel === undefined ? {} : { cancel: onCancel }),
  };
  return type === 'bytes' ? new ReadableStream({ ...source, type }) : new ReadableStream(source);
}

async function readAll(stream: ReadableStream<Uint8Array>): Promise<{ bytes: number[]; numReads: number }> {
  const reader = openChunks(stream);
  const bytes: number[] = [];
  for (let numReads = 0; ; numReads++) {
    const chunk = await reader.read();
    if (chunk === null) {
      return { bytes, numReads };
    }
    bytes.push(...chunk);
  }
}

describe('the chunks of a stream', () => {
  it.each(['bytes', undefined] as const)('are all of its bytes in order, of type %s', async (type) => {
    expect((await readAll(streamOf(type))).bytes).toEqual([...CONTENT]);
  });

  it('are as large as the buffer where it can be read into one', async () => {
    const whole = new Response(CONTENT).body as ReadableStream<Uint8Array>;
    const { bytes, numReads } = await readAll(whole);
    expect([bytes.length, numReads]).toEqual([CONTENT.length, Math.ceil(CONTENT.length / CHUNK_BYTES)]);
  });

  it.each(['bytes', undefined] as const)('need not be read to the end, of type %s', async (type) => {
    let isCancelled = false;
    const reader = openChunks(streamOf(type, () => (isCancelled = true)));
    await reader.read();
    await reader.cancel();
    expect(isCancelled).toBe(true);
  });
});
