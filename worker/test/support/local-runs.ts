/** The objects that keep runs, in this process, on databases that outlive them. */
import type { DatabaseSync } from 'node:sqlite';
import { createRouteDeps, type GatewayDeps } from '../../gateway.ts';
import type { RunLimits } from '../../runs/limits.ts';
import type { RunShardClient } from '../../runs/run.ts';
import { RunHost } from '../../runs/run-host.ts';
import { newDatabase, openLife } from './node-sql.ts';

interface LocalShard {
  readonly database: DatabaseSync;
  life: { readonly host: RunHost; readonly end: () => void } | null;
  alarmAtMs: number | null;
}

export class LocalRuns {
  readonly shards = new Map<string, LocalShard>();
  /** The dependencies with runs in them. */
  readonly deps: GatewayDeps;
  /** Told about each statement before it runs: it may crash all objects. */
  onStatement: (statement: string) => void = () => {};
  readonly #limits: RunLimits | undefined;

  constructor(deps: GatewayDeps, limits?: RunLimits) {
    this.deps = { ...deps, runs: (tenant, shardIndex) => this.#stub(`${tenant}/${shardIndex}`) };
    this.#limits = limits;
  }

  /** All objects lose their memory and keep their storage. */
  crash(): void {
    for (const shard of this.shards.values()) {
      shard.life?.end();
      shard.life = null;
    }
  }

  /** The runtime's alarms that are due. */
  fireAlarms(): void {
    for (const [name, shard] of this.shards) {
      if (shard.alarmAtMs !== null && shard.alarmAtMs <= this.deps.epochMs()) {
        shard.alarmAtMs = null;
        this.#host(name).alarm();
      }
    }
  }

  /** Leads to whichever life the object has when it is called. */
  #stub(name: string): RunShardClient {
    return {
      open: (request) => this.#host(name).open(request),
      read: (request) => this.#host(name).read(request),
      cancel: (id) => this.#host(name).cancel(id),
      remove: (id) => this.#host(name).remove(id),
      forget: () => this.#host(name).forget(),
    };
  }

  #host(name: string): RunHost {
    const shard = this.shards.get(name) ?? { database: newDatabase(), life: null, alarmAtMs: null };
    this.shards.set(name, shard);
    if (shard.life === null) {
      const { sql, end } = openLife(shard.database, (statement) => this.onStatement(statement));
      const host = new RunHost({
        sql,
        route: createRouteDeps(this.deps),
        setAlarm: (atMs) => void (shard.alarmAtMs = atMs),
        ...(this.#limits === undefined ? {} : { limits: this.#limits }),
      });
      shard.life = { host, end };
    }
    return shard.life.host;
  }
}
