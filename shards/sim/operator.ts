/** Calls that are no generations: prefixes warmed and let go of, tenants deleted, heads drained. */
import type { HeadEngine } from '../engine/engine.ts';
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
  readonly #onThrown: (thrown: unknown) => void;
  #numOpen = 0;

  /**
   * @param process where the calls come from
   * @param onThrown told when a head throws something instead of saying what is wrong
   */
  constructor(process: SimProcess, onThrown: (thrown: unknown) => void) {
    this.#process = process;
    this.#onThrown = onThrown;
  }

  /** Calls that have not returned. */
  get numOpen(): number {
    return this.#numOpen;
  }

  warmPrefix(replica: SimReplica, prefix: TenantPrefix, ttlMs: number): Promise<Result<WarmedPrefix, PrefixFailure>> {
    const requestId = `warm-${this.warmed.length}`;
    this.warmed.push(prefix);
    const { tenant: cacheSalt, tokens } = prefix;
    return this.#call(replica, 'warmPrefix', (engine) => engine.warmPrefix({ requestId, cacheSalt, tokens, ttlMs }));
  }

  unpinPrefix(replica: SimReplica, { tenant, tokens }: TenantPrefix): Promise<Result<null, PrefixFailure>> {
    return this.#call(replica, 'unpinPrefix', (engine) => engine.unpinPrefix({ cacheSalt: tenant, tokens }));
  }

  deleteTenant(replica: SimReplica, tenant: string): Promise<Result<null, PrefixFailure>> {
    return this.#call(replica, 'deleteTenant', (engine) => engine.deleteTenant(tenant));
  }

  drain(replica: SimReplica): Promise<void> {
    return this.#call(replica, 'drain', (engine) => engine.drain());
  }

  resume(replica: SimReplica): Promise<void> {
    return this.#call(replica, 'resume', (engine) => engine.resume());
  }

  async #call<T>(replica: SimReplica, name: string, run: (engine: HeadEngine) => Promise<T>): Promise<T> {
    this.#numOpen++;
    try {
      return await replica.call(this.#process, name, async (engine) => {
        try {
          return await run(engine);
        } catch (thrown) {
          this.#onThrown(thrown);
          throw thrown;
        }
      });
    } finally {
      this.#numOpen--;
    }
  }
}
