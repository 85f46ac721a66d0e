/** `DELETE /v1/tenant`: the platform forgets the owner of the key, in parts and as far as one request goes. */
import type { Context } from 'hono';
import type { GatewayEnv } from '../../gateway.ts';
import { withDeadline, type Clock } from '../../../shards/platform/clock.ts';
import { describeError } from '../../../shards/result.ts';
import type { ForgottenPart, TenantData } from '../../tenant-data.ts';
import { ApiError } from './errors.ts';

/** Clients wait half a minute as a rule. What is not done by then is said, and done by the next request. */
export const TENANT_DELETE_MS_MAX = 20_000;

/** Parts of one request, whatever time they take: with some thirty calls each, below what a Worker may make. */
export const TENANT_PARTS_MAX = 64;

/** When there is more to do it may be asked for at once, but not faster than it is done. */
const RETRY_AFTER_SECONDS = 1;

export interface DeleteTenantDeps {
  /** What there is to forget, in the order of the list: what writes comes before what is written to. */
  readonly data: readonly TenantData[];
  readonly clock: Clock;
  readonly reportError: (requestId: string, thrown: unknown) => void;
}

/** What came of one kind of data. */
type Outcome = 'done' | 'pending' | 'failed';

/**
 * Answers 200 when nothing is left, and 202 with what is pending when the time was over before: then the request is to be
 * repeated, and goes on where this one stopped.
 * @throws ApiError when something could not be forgotten; the rest is, and the request may be repeated.
 */
export async function deleteTenant(context: Context<GatewayEnv>, deps: DeleteTenantDeps): Promise<Response> {
  const deletion = new Deletion(context.get('tenant'), deps.clock);
  const failed: string[] = [];
  const pending: string[] = [];
  for (const kind of deps.data) {
    let outcome: Outcome = 'failed';
    try {
      // What is written to is not forgotten while what writes is there.
      outcome = pending.length > 0 ? 'pending' : await deletion.forget(kind);
    } catch (thrown) {
      deps.reportError(context.get('requestId'), thrown);
      failed.push(`${kind.name} (${describeError(thrown)})`);
    }
    if (outcome === 'pending') {
      pending.push(kind.name);
    }
  }
  if (failed.length > 0) {
    throw new ApiError({
      status: 503,
      type: 'server_error',
      code: 'tenant_not_deleted',
      message: `Not everything could be deleted: ${failed.join(', ')}. Send the request again.`,
      retryAfterSeconds: 5,
    });
  }
  const { counts } = deletion;
  if (pending.length > 0) {
    context.header('retry-after', `${RETRY_AFTER_SECONDS}`);
    return context.json({ object: 'tenant', deleted: false, counts, pending }, 202);
  }
  return context.json({ object: 'tenant', deleted: true, counts });
}

class Deletion {
  /** Of what this request has removed. */
  readonly counts: Record<string, number | null> = {};
  readonly #tenant: string;
  readonly #clock: Clock;
  readonly #endMs: number;
  #numPartsLeft = TENANT_PARTS_MAX;

  constructor(tenant: string, clock: Clock) {
    this.#tenant = tenant;
    this.#clock = clock;
    this.#endMs = clock.nowMs() + TENANT_DELETE_MS_MAX;
  }

  async forget({ name, forget }: TenantData): Promise<Outcome> {
    for (;;) {
      const leftMs = this.#endMs - this.#clock.nowMs();
      if (leftMs <= 0 || this.#numPartsLeft-- <= 0) {
        return 'pending';
      }
      const part: ForgottenPart | 'timeout' = await withDeadline(this.#clock, leftMs, forget(this.#tenant));
      if (part === 'timeout') {
        return 'pending';
      }
      const before = this.counts[name] ?? null;
      this.counts[name] = part.count === null ? before : (before ?? 0) + part.count;
      if (!part.isMoreLeft) {
        return 'done';
      }
    }
  }
}
