/** Everything that keeps data of tenants, in the order in which it is forgotten: what writes before what is written to. */
import { removeSomeClassifiers } from './classify/classifier.ts';
import type { GatewayDeps } from './gateway.ts';
import { deletePages } from './prefixes/prefix-pages.ts';
import { isRingEntry } from './routing/catalog.ts';
import { RUN_SHARDS_PER_TENANT } from './runs/limits.ts';

/** What one part of a deletion came to. */
export interface ForgottenPart {
  /** How many things are gone, where that can be told. */
  readonly count: number | null;
  /** The next part goes on. */
  readonly isMoreLeft: boolean;
}

/** Something that keeps data of tenants, and can forget one. */
export interface TenantData {
  /** For answers and logs, such as `runs`. */
  readonly name: string;
  /**
   * Removes a bounded part of what there is of the tenant; after the last part nothing is left. A part that was cut is
   * repeated, and finds what is left: what it goes by is removed last.
   */
  readonly forget: (tenant: string) => Promise<ForgottenPart>;
}

/** Of something that is gone in one go, however much of it there was. */
const whole = (count: number | null): ForgottenPart => ({ count, isMoreLeft: false });

export function tenantData({ runs, prefixes, heads, classifiers, catalog }: GatewayDeps): readonly TenantData[] {
  return [
    {
      name: 'runs',
      async forget(tenant) {
        const shards = Array.from({ length: RUN_SHARDS_PER_TENANT }, (_, index) => runs(tenant, index));
        const counts = await Promise.all(shards.map((shard) => shard.forget()));
        return whole(counts.reduce((sum, count) => sum + count, 0));
      },
    },
    { name: 'classifiers', forget: (tenant) => removeSomeClassifiers(classifiers, tenant) },
    { name: 'prefixes', forget: async (tenant) => whole(await prefixes(tenant).forget()) },
    {
      name: 'pages',
      async forget(tenant) {
        const rings = catalog.entries.filter(isRingEntry).flatMap((entry) => heads(entry));
        await Promise.all(rings.map((head) => deletePages(head, tenant)));
        return whole(null);
      },
    },
  ];
}
