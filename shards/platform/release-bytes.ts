/** Below this a collector is cheaper: a frame of one token has 2 kB, and many such are gone with the next young collection. */
export const RELEASE_BYTES_MIN = 16 * 1024;

/**
 * Frees the memory of a large buffer that nobody reads any more. A collector frees it, too, but not soon: its heap holds a few
 * words for a buffer, the 100 kB of a frame or a page lie outside of it, and a long prompt leaves dozens of them behind in an
 * isolate whose budget is planned to the mebibyte.
 */
export function releaseBytes(bytes: Uint8Array<ArrayBuffer>): void {
  if (bytes.byteLength >= RELEASE_BYTES_MIN) {
    bytes.buffer.transfer(0);
  }
}
