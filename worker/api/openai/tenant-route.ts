/** `DELETE /v1/tenant`: the platform forgets the owner of the key. */
import type { Context } from 'hono';
import type { GatewayEnv } from '../../gateway.ts';
import { describeError } from '../../../shards/result.ts';
import { ApiError } from './errors.ts';

/** Something that keeps data of tenants, and can forget one. */
export interface TenantData {
  /** For answers and logs, such as `runs`. */
  readonly name: string;
  /**
   * Leaves nothing of the tenant. Harmless when repeated.
   * @returns how many things there were, where that can be told.
   */
  readonly forget: (tenant: string) => Promise<number | null>;
}

/**
 * Forgets in the order of the list: what writes comes before what is written to.
 * @throws ApiError when something could not be forgotten; the rest is, and the request may be repeated.
 */
export async function deleteTenant(
  context: Context<GatewayEnv>,
  data: readonly TenantData[],
  reportError: (requestId: string, thrown: unknown) => void,
): Promise<Response> {
  const tenant = context.get('tenant');
  const deleted: Record<string, number | null> = {};
  const failed: string[] = [];
  for (const { name, forget } of data) {
    try {
      deleted[name] = await forget(tenant);
    } catch (thrown) {
      reportError(context.get('requestId'), thrown);
      failed.push(`${name} (${describeError(thrown)})`);
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
  return context.json({ object: 'tenant', deleted: true, counts: deleted });
}
