/** WASM has no prefetch; loads whose values nobody needs are the nearest thing. */

const CACHE_LINE_BYTES: usize = 64;

/**
 * Brings weights into the first cache. Nothing but loads: so many of them fit into a processor's window that memory works
 * on all its lines at once, where a product of four tokens has so much to do with a line that it asks for few.
 * @param to where something of all lines is stored, or else nobody would need the loads
 */
export function fetchLines(to: usize, from: usize, bytes: usize): void {
  let seen = i32x4.splat(0);
  for (let end = from + bytes; from < end; from += CACHE_LINE_BYTES) seen = v128.or(seen, v128.load(from));
  v128.store(to, seen);
}
