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
