/** What all endpoints that classify share: a body that is read and checked, a record, and one JSON text as the answer. */
import type { Context } from 'hono';
import type { GatewayEnv, RouteDeps } from '../../gateway.ts';
import { RequestMeter } from '../../metering/request-meter.ts';
import type { ServedSurface } from '../../metering/served-record.ts';
import type { RingEntry } from '../../routing/catalog.ts';
import { heldJson } from '../http/held-json.ts';
import { toApiError } from '../openai/errors.ts';
import { readBody } from '../openai/request-body.ts';
import { refuseKey } from '../openai/run-route.ts';

/** A request that is understood. */
export interface PreparedCall {
  /** Whose layers read the texts. */
  readonly entry: RingEntry;
  readonly numTexts: number;
  /** @returns the body of the answer. Notes in the meter what it took. */
  readonly work: (meter: RequestMeter, signal: AbortSignal) => Promise<object>;
}

export const backendOf = ({ backend }: RingEntry): string => `ring/${backend.model}`;

/** @param prepare throws an ApiError for the first mistake in the body */
export async function answerMetered(
  context: Context<GatewayEnv>,
  surface: ServedSurface,
  prepare: (body: unknown) => PreparedCall,
  deps: RouteDeps,
): Promise<Response> {
  const tenant = context.get('tenant');
  const requestId = context.get('requestId');
  const startedAtMs = deps.epochMs();
  const meter = new RequestMeter(deps.metering, deps.clock, { requestId, tenant, surface, startedAtMs });
  try {
    refuseKey(context.req.raw);
    const { entry, numTexts, work } = prepare(await readBody(context.req.raw, deps.limits));
    meter.requested({ model: entry.id, isStream: false, numChoices: numTexts });
    return await heldJson(context.req.raw, {
      clock: deps.clock,
      meter,
      work: (signal) => {
        meter.attempted(1);
        return work(meter, signal);
      },
      headers: () => ({ 'x-lamina-served-by': backendOf(entry) }),
      reportError: (thrown) => deps.reportError(requestId, thrown),
    });
  } catch (thrown) {
    const { status, code } = toApiError(thrown).details;
    meter.end(status < 500 ? 'refused' : 'failed', code ?? null);
    throw thrown;
  }
}
