/**
 * Names of KV pages by content: `pageHash = H(parentHash, tokens, cacheSalt)`. A page's keys and values depend on every
 * token before them, so the hash of a page covers the whole sequence up to its end. Only full pages have one.
 */
import { sha256 } from '@noble/hashes/sha2.js';
import { bytesToHex, utf8ToBytes } from '@noble/hashes/utils.js';
import { PAGE_SIZE_TOKENS } from '../../wasm/host/stage-runtime.ts';
import { assert } from '../../wasm/host/assert.ts';

/** Half of a SHA-256: nobody finds two prompts of equal hash, and a key stays short. */
const HASH_BYTES = 16;

/** Digits of a `PageHash` or a tenant key. */
export const PAGE_KEY_HEX_DIGITS = HASH_BYTES * 2;

/** Lower-case hexadecimal digits. */
export type PageHash = string;

/** What a stored page is found by. Pages of different tenants differ in both parts. */
export interface PageKey {
  /** `tenantKey` of the cache salt: all pages of a tenant are deleted by it. */
  readonly tenant: string;
  readonly hash: PageHash;
}

/** The part of a key that all pages of one salt have in common. It does not tell the salt. */
export function tenantKey(cacheSalt: string): string {
  return shortHash(utf8ToBytes(`lamina tenant\0${cacheSalt}`));
}

/**
 * The hash of a full page.
 * @param parent hash of the page before it; null for the first page of a sequence
 * @param tokens its `PAGE_SIZE_TOKENS` token ids
 */
export function pageHash(parent: PageHash | null, tokens: readonly number[], cacheSalt: string): PageHash {
  assert(tokens.length === PAGE_SIZE_TOKENS, `only a full page has a hash, not one of ${tokens.length} tokens`);
  return shortHash(utf8ToBytes(`lamina page\0${parent ?? ''}\0${tokens.join()}\0${cacheSalt}`));
}

function shortHash(bytes: Uint8Array): string {
  return bytesToHex(sha256(bytes).subarray(0, HASH_BYTES));
}
