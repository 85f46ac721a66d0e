/**
 * Frees the memory of a frame that nobody reads any more. A collector frees it, too, but not soon: its heap holds a few
 * words for a frame, the 150 kB of hidden states lie outside of it, and a long prompt leaves dozens of them behind in an
 * isolate whose budget is planned to the mebibyte.
 *
 * Not for the head: a buffer that has been detached takes from V8 an assumption on which it builds fast code for all typed
 * arrays of an isolate, and the sampler is made of those.
 */
export function releaseFrame(bytes: Uint8Array<ArrayBuffer>): void {
  bytes.buffer.transfer(0);
}
