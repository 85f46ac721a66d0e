/** Calls that are no generations: prefixes warmed and let go of, tenants deleted, heads drained. */
import type { PrefixFailure, WarmedPrefix } from '../engine/prefix-protocol.ts';
import type { Result } from '../result.ts';
import type { SimReplica } from './cluster.ts';
import type { SimProcess } from './process.ts';

export const OPERATOR_CALLS = ['warm_prefix', 'unpin_prefix', 'delete_tenant', 'drain'] as const;
export type OperatorCall = (typeof OPERATOR_CALLS)[number];

/** A beginning of prompts, and whose. */
export interface TenantPrefix {
  readonly tenant: string;
  readonly tokens: readonly number[];
}

export class Operator {
  /** Prefixes that were asked for, whether or not they were computed. */
  readonly warmed: TenantPrefix[] = [];
  readonly #process: SimProcess;

  /** @param process where the calls come from */
  constructor(process: SimProcess) {
    this.#process = process;
  }

  warmPrefix(replica: SimReplica, prefix: TenantPrefix, ttlMs: number): Promise<Result<WarmedPrefix, PrefixFailure>> {
    const requestId = `warm-${this.warmed.length}`;
    this.warmed.push(prefix);
    const { tenant: cacheSalt, tokens } = prefix;
    return replica.call(this.#process, 'warmPrefix', (engine) =>
      engine.warmPrefix({ requestId, cacheSalt, tokens, ttlMs }),
    );
  }

  unpinPrefix(replica: SimReplica, { tenant, tokens }: TenantPrefix): Promise<Result<null, PrefixFailure>> {
    return replica.call(this.#process, 'unpinPrefix', (engine) => engine.unpinPrefix({ cacheSalt: tenant, tokens }));
  }

  deleteTenant(replica: SimReplica, tenant: string): Promise<Result<null, PrefixFailure>> {
    return replica.call(this.#process, 'deleteTenant', (engine) => engine.deleteTenant(tenant));
  }

  drain(replica: SimReplica): Promise<void> {
    return replica.call(this.#process, 'drain', (engine) => engine.drain());
  }

  resume(replica: SimReplica): Promise<void> {
    return replica.call(this.#process, 'resume', (engine) => engine.resume());
  }
}
