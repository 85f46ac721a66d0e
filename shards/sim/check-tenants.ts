/** The checkers of what tenants see of each other, and of what is left of one that was deleted. */
import { tenantKey } from '../kv/page-key.ts';
import type { ClientRequest } from './client.ts';
import type { SimCluster } from './cluster.ts';
import { check } from './failure.ts';
import type { TenantPrefix } from './operator.ts';

/**
 * What a request found computed is no more than what its tenant can have had computed. One that was taken up again is left
 * out: it finds what it has computed itself.
 * @param warmed prefixes that were computed for tenants
 */
export function checkCachedTokens(requests: readonly ClientRequest[], warmed: readonly TenantPrefix[]): void {
  for (const request of requests) {
    const finish = request.events.at(-1);
    if (finish?.type !== 'finish' || request.numResumes > 0) {
      continue;
    }
    const { cacheSalt, requestId } = request.request;
    const { promptTokens } = request.request;
    const others = requests.filter((other) => other !== request && other.request.cacheSalt === cacheSalt);
    const computed = [
      ...others.map((other) => [...other.request.promptTokens, ...other.expected.tokens]),
      ...warmed.filter(({ tenant }) => tenant === cacheSalt).map(({ tokens }) => tokens),
    ];
    const most = Math.max(0, ...computed.map((tokens) => numTokensInCommon(promptTokens, tokens)));
    check(
      finish.cachedTokens <= most,
      'tenants',
      `${requestId} of ${cacheSalt} found ${finish.cachedTokens} tokens computed, its tenant has at most ${most} of them`,
    );
  }
}

function numTokensInCommon(tokens: readonly number[], others: readonly number[]): number {
  const differsAt = tokens.findIndex((tokenId, i) => tokenId !== others[i]);
  return differsAt < 0 ? tokens.length : differsAt;
}

/** Nothing of a deleted tenant is stored by any stage or found by any head. */
export function checkDeleted(cluster: SimCluster, cacheSalt: string): void {
  const tenant = tenantKey(cacheSalt);
  for (const { name, storage } of cluster.shards) {
    const numLeft = storage.keysWith(tenant).length;
    check(numLeft === 0, 'tenants', `${name} still has ${numLeft} rows of ${cacheSalt}, which was deleted`);
  }
  for (const { head, engine } of cluster.replicas) {
    const entries = [...(engine?.inspect().cache.entries() ?? [])];
    const numLeft = entries.filter(({ key }) => key.tenant === tenant).length;
    check(numLeft === 0, 'tenants', `${head.name} still finds ${numLeft} pages of ${cacheSalt}, which was deleted`);
  }
}
