/** Everything that keeps data of tenants, in the order in which it is forgotten: what writes before what is written to. */
import type { TenantData } from './api/openai/tenant-route.ts';
import { removeTenantClassifiers } from './classify/classifier.ts';
import type { GatewayDeps } from './gateway.ts';
import { deletePages } from './prefixes/prefix-pages.ts';
import { isRingEntry } from './routing/catalog.ts';
import { RUN_SHARDS_PER_TENANT } from './runs/limits.ts';

export function tenantData({ runs, prefixes, heads, classifiers, catalog }: GatewayDeps): readonly TenantData[] {
  return [
    {
      name: 'runs',
      async forget(tenant) {
        const shards = Array.from({ length: RUN_SHARDS_PER_TENANT }, (_, index) => runs(tenant, index));
        const counts = await Promise.all(shards.map((shard) => shard.forget()));
        return counts.reduce((sum, count) => sum + count, 0);
      },
    },
    { name: 'classifiers', forget: (tenant) => removeTenantClassifiers(classifiers, tenant) },
    { name: 'prefixes', forget: (tenant) => prefixes(tenant).forget() },
    {
      name: 'pages',
      async forget(tenant) {
        const rings = catalog.entries.filter(isRingEntry).flatMap((entry) => heads(entry));
        await Promise.all(rings.map((head) => deletePages(head, tenant)));
        return null;
      },
    },
  ];
}
