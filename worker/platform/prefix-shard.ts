/** The Durable Object that keeps the prefixes of one tenant, whose name it has. */
import { DurableObject } from 'cloudflare:workers';
import { PrefixHost } from '../prefixes/prefix-host.ts';
import type { Prefix, PrefixInfo, PrefixShardClient, RemovedPrefix } from '../prefixes/prefix.ts';
import type { GatewayBindings } from './environment.ts';
import { sqlStorage } from './sql-storage.ts';

export class PrefixShard extends DurableObject<GatewayBindings> implements PrefixShardClient {
  readonly #host: PrefixHost;

  constructor(ctx: DurableObjectState, bindings: GatewayBindings) {
    super(ctx, bindings);
    this.#host = new PrefixHost({
      sql: sqlStorage(ctx.storage),
      epochMs: () => Date.now(),
      setAlarm: (atMs) => void (atMs === null ? ctx.storage.deleteAlarm() : ctx.storage.setAlarm(atMs)),
    });
  }

  reserve(digest: string, newId: string, prefixesMax: number): Promise<string | null> {
    return this.#host.reserve(digest, newId, prefixesMax);
  }

  put(prefix: Prefix): Promise<void> {
    return this.#host.put(prefix);
  }

  find(id: string): Promise<PrefixInfo | null> {
    return this.#host.find(id);
  }

  list(): Promise<readonly PrefixInfo[]> {
    return this.#host.list();
  }

  remove(id: string): Promise<RemovedPrefix | null> {
    return this.#host.remove(id);
  }

  forget(): Promise<number> {
    return this.#host.forget();
  }

  override alarm(): void {
    this.#host.alarm();
  }
}

export function prefixShardStubs(
  namespace: DurableObjectNamespace<PrefixShard>,
): (tenant: string) => PrefixShardClient {
  return (tenant) => {
    const stub = (): PrefixShardClient => namespace.getByName(tenant);
    return {
      reserve: (digest, newId, prefixesMax) => stub().reserve(digest, newId, prefixesMax),
      put: (prefix) => stub().put(prefix),
      find: (id) => stub().find(id),
      list: () => stub().list(),
      remove: (id) => stub().remove(id),
      forget: () => stub().forget(),
    };
  };
}
