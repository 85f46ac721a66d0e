/** What `POST /v1/chat/completions` and `POST /v1/completions` have in common: from the HTTP request to the answer. */
import type { Context } from 'hono';
import type { GatewayEnv } from '../../gateway.ts';
import { RequestMeter } from '../../metering/request-meter.ts';
import { heldResponse } from '../http/held-response.ts';
import { toApiError, type ApiError } from './errors.ts';
import { createJob } from './generation-job.ts';
import { GenerationRun, type GenerationRouteDeps, type GenerationSurface } from './generation-run.ts';
import { readBody, takeBackground } from './request-body.ts';
import { answerRun, readKey } from './run-route.ts';

export async function answerGeneration(
  context: Context<GatewayEnv>,
  surface: GenerationSurface,
  deps: GenerationRouteDeps,
): Promise<Response> {
  const requestId = context.get('requestId');
  const tenant = context.get('tenant');
  const startedAtMs = deps.epochMs();
  const meter = new RequestMeter(deps.metering, deps.clock, { requestId, tenant, surface: surface.name, startedAtMs });
  try {
    const key = readKey(context.req.raw);
    const { body, isBackground } = takeBackground(await readBody(context.req.raw, deps.limits));
    if (key !== null || isBackground) {
      return await answerRun(context, surface, { body, isBackground, key, createdMs: startedAtMs, meter }, deps);
    }
    const origin = {
      answerId: deps.randomId(),
      tenant,
      createdMs: startedAtMs,
      randomSeed: deps.randomSeed,
      meter,
      journal: null,
      boundTo: null,
    };
    const run = new GenerationRun(createJob(surface, body, origin, deps), deps);
    const { isStream } = await run.prepare();
    return await respond(context.req.raw, run, isStream, meter, requestId, deps);
  } catch (thrown) {
    const { status, code } = toApiError(thrown).details;
    meter.end(status < 500 ? 'refused' : 'failed', code ?? null);
    throw thrown;
  }
}

function respond(
  request: Request,
  run: GenerationRun,
  isStream: boolean,
  meter: RequestMeter,
  requestId: string,
  deps: GenerationRouteDeps,
): Promise<Response> {
  // Aborted when the client is gone: then every sequence and every call to an origin ends at once.
  const gone = new AbortController();
  // Some runtimes tell here, too, that the client is gone; in Workers it shows when the answer is written.
  request.signal.addEventListener('abort', () => gone.abort());
  const describe = (thrown: unknown): ApiError => {
    const error = toApiError(thrown);
    if (error.details.status >= 500) {
      deps.reportError(requestId, thrown);
    }
    return error;
  };
  return heldResponse(deps.clock, {
    parts: run.parts(gone.signal),
    heartbeat: isStream ? ': keep-alive\n\n' : ' ',
    decided: run.canMove ? run.settled : null,
    sendHead: () => ({
      'content-type': isStream ? 'text/event-stream; charset=utf-8' : 'application/json; charset=utf-8',
      'cache-control': 'no-cache',
      'x-accel-buffering': 'no',
      ...run.sendHead(),
    }),
    failureResponse: (thrown) => describe(thrown).toResponse(),
    failurePart: (thrown) => (isStream ? `data: ${describe(thrown).toJson()}\n\n` : describe(thrown).toJson()),
    onClientGone: () => {
      gone.abort();
      // Now, not when the events have ended: the runtime may drop what a request without a client still had to do.
      meter.end('client_gone');
    },
  });
}
