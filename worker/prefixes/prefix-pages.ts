/** The pages of prefixes on the replicas of a model. */
import { placementKey } from '../../shards/client/placement-key.ts';
import { GenerationError } from '../../shards/client/recovery.ts';
import type { ReplicaHead } from '../../shards/client/replica-head.ts';
import type { ReplicaSet } from '../../shards/client/replica-set.ts';
import type { PrefixClient, PrefixFailure, WarmedPrefix } from '../../shards/engine/prefix-protocol.ts';
import type { Result } from '../../shards/result.ts';
import { PAGE_SIZE_TOKENS } from '../../wasm/host/stage-runtime.ts';
import type { Prefix, RemovedPrefix } from './prefix.ts';

export interface PrefixPagesDeps {
  readonly replicas: ReplicaSet<ReplicaHead>;
  readonly tenant: string;
  readonly randomId: () => string;
  /** Milliseconds since the epoch. */
  readonly epochMs: () => number;
}

/**
 * Computes and pins a prefix where requests with it land.
 * @throws GenerationError when it could not be computed.
 */
export async function warmPages(
  { tokens, promptCacheKey, expiresMs }: Pick<Prefix, 'tokens' | 'promptCacheKey' | 'expiresMs'>,
  { replicas, tenant, randomId, epochMs }: PrefixPagesDeps,
): Promise<WarmedPrefix> {
  const key = placementKey({ promptTokens: tokens, cacheSalt: tenant }, promptCacheKey);
  const replica = replicas.choose(key, new Set());
  if (replica === undefined) {
    throw new Error('a model has at least one replica');
  }
  const request = { requestId: randomId(), tokens, cacheSalt: tenant, ttlMs: Math.max(1, expiresMs - epochMs()) };
  return valueOf(await replica.head.warmPrefix(request));
}

/**
 * Lets go of a prefix wherever it is. Pages that others have in common with it are let go of, too, and pinned again.
 * @throws GenerationError when a ring did not answer.
 */
export async function releasePages({ prefix, others }: RemovedPrefix, deps: PrefixPagesDeps): Promise<void> {
  const { tokens } = prefix;
  const heads = deps.replicas.replicas.map(({ head }) => head);
  const released = await Promise.all(heads.map((head) => head.unpinPrefix({ tokens, cacheSalt: deps.tenant })));
  released.forEach(valueOf);
  const sharing = others.filter((other) => sharesPage(other.tokens, tokens));
  await Promise.all(sharing.map((other) => warmPages(other, deps)));
}

/** A deletion is tried so often: steps under way may save pages behind the first one. */
const DELETE_ATTEMPTS_MAX = 3;

/** @throws GenerationError when pages may be left. */
export async function deletePages(head: PrefixClient, tenant: string): Promise<void> {
  for (let attempt = 1; ; attempt++) {
    const deleted = await head.deleteTenant(tenant);
    if (deleted.ok || !deleted.error.retryable || attempt >= DELETE_ATTEMPTS_MAX) {
      return void valueOf(deleted);
    }
  }
}

function valueOf<T>(result: Result<T, PrefixFailure>): T {
  if (!result.ok) {
    const { code, message, retryAfterMs = null } = result.error;
    throw new GenerationError(code, message, retryAfterMs);
  }
  return result.value;
}

const sharesPage = (a: readonly number[], b: readonly number[]): boolean =>
  a.slice(0, PAGE_SIZE_TOKENS).every((tokenId, position) => tokenId === b[position]);
