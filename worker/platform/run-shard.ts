/** The Durable Object that keeps runs of one tenant. Its name is `<tenant>/<number>`. */
import { DurableObject } from 'cloudflare:workers';
import type { RouteDeps } from '../gateway.ts';
import type {
  OpenRunResult,
  ReadRunRequest,
  ReadRunResult,
  RunRequest,
  RunShardClient,
  RunSnapshot,
} from '../runs/run.ts';
import { RunHost } from '../runs/run-host.ts';
import type { GatewayBindings } from './environment.ts';
import { sqlStorage } from './sql-storage.ts';

/** The script that holds the class gives it what its gateway works with. */
export abstract class RunShardObject extends DurableObject<GatewayBindings> implements RunShardClient {
  readonly #host: RunHost;

  constructor(ctx: DurableObjectState, bindings: GatewayBindings) {
    super(ctx, bindings);
    this.#host = new RunHost({
      sql: sqlStorage(ctx.storage),
      route: this.routeDeps(bindings),
      setAlarm: (atMs) => void (atMs === null ? ctx.storage.deleteAlarm() : ctx.storage.setAlarm(atMs)),
    });
  }

  protected abstract routeDeps(bindings: GatewayBindings): RouteDeps;

  open(request: RunRequest): Promise<OpenRunResult> {
    return this.#host.open(request);
  }

  read(request: ReadRunRequest): Promise<ReadRunResult> {
    return this.#host.read(request);
  }

  cancel(id: string): Promise<RunSnapshot | null> {
    return this.#host.cancel(id);
  }

  remove(id: string): Promise<boolean> {
    return this.#host.remove(id);
  }

  forget(): Promise<number> {
    return this.#host.forget();
  }

  override alarm(): void {
    this.#host.alarm();
  }
}

/** @returns how the gateway reaches the objects of a tenant: each call by a stub of its own, which costs nothing. */
export function runShardStubs(
  namespace: DurableObjectNamespace<RunShardObject>,
): (tenant: string, shardIndex: number) => RunShardClient {
  return (tenant, shardIndex) => {
    const stub = (): RunShardClient => namespace.getByName(`${tenant}/${shardIndex}`);
    return {
      open: (request) => stub().open(request),
      read: (request) => stub().read(request),
      cancel: (id) => stub().cancel(id),
      remove: (id) => stub().remove(id),
      forget: () => stub().forget(),
    };
  };
}
