/**
 * Bugs that can be switched on here and nowhere else: a simulator that does not find them would not find real ones. Each
 * is put where the engine meets what is simulated, so that the engine itself has no switch.
 */
import type { PageKey } from '../kv/page-key.ts';
import { PagePool } from '../kv/page-pool.ts';
import type { GenerateRequest } from '../engine/protocol.ts';
import { frameChecksum } from '../link/encode-frame.ts';
import { HEADER } from '../link/frame.ts';
import type { StepResult } from '../link/ring-step.ts';
import type { SqlitePageStore } from '../platform/cloudflare/sqlite-page-store.ts';
import { ok, type Result } from '../result.ts';

export const CANARIES = [
  /** A receiver that does not look at checksums. */
  'checksum_ignored',
  /** A gateway that forgets the last token it sent when it continues a stream. */
  'resume_forgets_token',
  /** A gateway that does not say whose request it is. */
  'salt_ignored',
  /** A head that believes that every page it asked back came back. */
  'missing_ignored',
  /** A store that gives out pages whose writing was interrupted. */
  'damage_ignored',
  /** A pool that now and then forgets to take a page back. */
  'release_forgotten',
] as const;

export type Canary = (typeof CANARIES)[number];

/** Releases between two that are forgotten. */
const RELEASES_BETWEEN = 40;

/** What the head gets when the gateway has the bug. */
export function spoilRequest(canary: Canary | null, request: GenerateRequest): GenerateRequest {
  if (canary === 'salt_ignored') {
    return { ...request, cacheSalt: '' };
  }
  if (canary === 'resume_forgets_token') {
    return { ...request, emittedTokens: request.emittedTokens.slice(0, -1) };
  }
  return request;
}

/** Makes a corrupted frame pass for a whole one. */
export function spoilFrame(canary: Canary | null, frame: Uint8Array<ArrayBuffer>): void {
  if (canary === 'checksum_ignored') {
    const view = new DataView(frame.buffer);
    view.setUint32(HEADER.checksum, frameChecksum(frame), true);
  }
}

/** What the head learns of a step when it has the bug. */
export function spoilResult<E>(canary: Canary | null, result: Result<StepResult, E>): Result<StepResult, E> {
  return result.ok && canary === 'missing_ignored' ? ok({ ...result.value, missing: [] }) : result;
}

/** A store that has the bug: what it finds damaged passes for whole. */
export function spoilStore(canary: Canary | null, store: SqlitePageStore): SqlitePageStore {
  if (canary === 'damage_ignored') {
    const read = store.read.bind(store);
    return Object.assign(store, {
      read: (key: PageKey, into: Uint8Array): boolean => {
        const isThere = store.has(key);
        return read(key, into) || isThere;
      },
    });
  }
  return store;
}

/** Puts bugs into classes that the engine makes for itself. @returns a way to take them out again */
export function spoilClasses(canary: Canary | null): () => void {
  if (canary !== 'release_forgotten') {
    return () => {};
  }
  // Called with a pool as `this`, below.
  // oxlint-disable-next-line typescript/unbound-method
  const { release } = PagePool.prototype;
  let numReleases = 0;
  PagePool.prototype.release = function forget(this: PagePool, page: number): void {
    if (++numReleases % RELEASES_BETWEEN !== 0) {
      release.call(this, page);
    }
  };
  return () => {
    PagePool.prototype.release = release;
  };
}
