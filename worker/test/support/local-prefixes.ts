/** The objects that keep prefixes, in this process. */
import type { DatabaseSync } from 'node:sqlite';
import { PrefixHost } from '../../prefixes/prefix-host.ts';
import { newDatabase, openLife } from './node-sql.ts';

export interface LocalPrefixShard {
  readonly host: PrefixHost;
  readonly database: DatabaseSync;
  alarmAtMs: number | null;
}

export class LocalPrefixes {
  readonly shards = new Map<string, LocalPrefixShard>();
  readonly #epochMs: () => number;

  constructor(epochMs: () => number) {
    this.#epochMs = epochMs;
  }

  readonly of = (tenant: string): PrefixHost => {
    const known = this.shards.get(tenant);
    if (known !== undefined) {
      return known.host;
    }
    const database = newDatabase();
    const shard: LocalPrefixShard = {
      database,
      alarmAtMs: null,
      host: new PrefixHost({
        sql: openLife(database).sql,
        epochMs: this.#epochMs,
        setAlarm: (atMs) => void (shard.alarmAtMs = atMs),
      }),
    };
    this.shards.set(tenant, shard);
    return shard.host;
  };
}
