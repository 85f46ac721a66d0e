/** What `POST /v1/chat/completions` and `POST /v1/completions` have in common: from the HTTP request to the answer. */
import type { Context } from 'hono';
import { AbortedError } from '../../generation/abort.ts';
import { mergeConcurrently } from '../../generation/merge.ts';
import { generateText } from '../../generation/text-sequence.ts';
import type { GatewayDeps, GatewayEnv } from '../../gateway.ts';
import type { GatewayLimits } from '../../limits.ts';
import { RequestMeter, type ServedRecord } from '../../metering/served-record.ts';
import { createEngineClient, type ResumeLimits } from '../../routing/engine-client.ts';
import { readJsonBody, type BodyError } from '../http/body.ts';
import { heldResponse } from '../http/held-response.ts';
import { badRequest, toApiError, type ApiError } from './errors.ts';
import { unknownModel } from './models.ts';
import type { AnswerEvents, GenerationPlan, PlanContext, ServedModel } from './plan.ts';

export interface GenerationRouteDeps extends GatewayDeps {
  readonly limits: GatewayLimits;
  readonly resumeLimits: ResumeLimits;
}

type Planner = (body: unknown, context: PlanContext) => Promise<GenerationPlan>;

export async function answerGeneration(
  context: Context<GatewayEnv>,
  surface: ServedRecord['surface'],
  planner: Planner,
  deps: GenerationRouteDeps,
): Promise<Response> {
  const requestId = context.get('requestId');
  const tenant = context.get('tenant');
  const meter = new RequestMeter(deps.metering, deps.clock, {
    requestId,
    tenant,
    surface,
    startedAtMs: deps.epochMs(),
  });
  let plan: GenerationPlan;
  try {
    const body = await readBody(context.req.raw, deps.limits);
    plan = await planner(body, {
      // The client's request id may repeat; ids of answers and of sequences must not.
      requestId: deps.randomId(),
      tenant,
      limits: deps.limits,
      created: Math.floor(deps.epochMs() / 1000),
      findModel: (name) => findModel(name, deps),
      randomSeed: deps.randomSeed,
    });
  } catch (thrown) {
    const { status, code } = toApiError(thrown).details;
    meter.end(status < 500 ? 'refused' : 'failed', code ?? null);
    throw thrown;
  }
  meter.planned({
    model: plan.model.entry.id,
    isStream: plan.isStream,
    numChoices: plan.sequences.length,
    promptTokens: plan.numPromptTokens,
  });
  return respond(context.req.raw, plan, meter, requestId, deps);
}

function respond(
  request: Request,
  plan: GenerationPlan,
  meter: RequestMeter,
  requestId: string,
  deps: GenerationRouteDeps,
): Promise<Response> {
  // Aborted when the answer ends, in whatever way, and when the client is gone: then every sequence ends at once.
  const ended = new AbortController();
  // Some runtimes tell here, too, that the client is gone; in Workers it shows when the answer is written.
  request.signal.addEventListener('abort', () => ended.abort());
  const events = metered(runSequences(plan, meter, ended.signal, deps), meter, () => ended.abort());
  const describe = (thrown: unknown): ApiError => {
    const error = toApiError(thrown);
    if (error.details.status >= 500) {
      deps.reportError(requestId, thrown);
    }
    return error;
  };
  return heldResponse(deps.clock, {
    parts: plan.isStream ? plan.writer.streamParts(events) : jsonParts(plan, events),
    heartbeat: plan.isStream ? ': keep-alive\n\n' : ' ',
    headers: {
      'content-type': plan.isStream ? 'text/event-stream; charset=utf-8' : 'application/json; charset=utf-8',
      'cache-control': 'no-cache',
      'x-accel-buffering': 'no',
    },
    failureResponse: (thrown) => describe(thrown).toResponse(),
    failurePart: (thrown) => (plan.isStream ? `data: ${describe(thrown).toJson()}\n\n` : describe(thrown).toJson()),
    onClientGone: () => {
      ended.abort();
      // Now, not when the events have ended: the runtime may drop what a request without a client still had to do.
      meter.end('client_gone');
    },
  });
}

async function* jsonParts(plan: GenerationPlan, events: AnswerEvents): AsyncGenerator<string, void, undefined> {
  yield await plan.writer.jsonAnswer(events);
}

function runSequences(
  plan: GenerationPlan,
  meter: RequestMeter,
  signal: AbortSignal,
  deps: GenerationRouteDeps,
): AnswerEvents {
  const engine = createEngineClient(deps.head(plan.model.entry), deps.clock, deps.resumeLimits);
  const { tokenizer } = plan.model.text;
  const sources = plan.sequences.map(
    (spec) => () => generateText(engine, tokenizer, spec, signal, () => meter.resumed()),
  );
  return mergeConcurrently(sources, deps.limits.concurrentSequencesMax);
}

/** Counts what passes by and ends the record, however the events end. */
async function* metered(events: AnswerEvents, meter: RequestMeter, onEnd: () => void): AnswerEvents {
  const numSent = new Map<number, number>();
  try {
    for await (const event of events) {
      const { index, value } = event;
      const numSentBefore = numSent.get(index) ?? 0;
      if (value.type === 'delta') {
        numSent.set(index, numSentBefore + value.tokens.length);
        meter.sentTokens(value.tokens.length);
      } else if (value.type === 'finish') {
        meter.finishedChoice(value.reason, value.usage.completionTokens - numSentBefore, value.usage.cachedTokens);
      }
      yield event;
    }
    meter.end('completed');
  } catch (thrown) {
    meter.end(thrown instanceof AbortedError ? 'client_gone' : 'failed', toApiError(thrown).details.code ?? null);
    throw thrown;
  } finally {
    // Nothing was thrown and nothing completed: the reader left.
    meter.end('client_gone');
    onEnd();
  }
}

async function findModel(name: string, deps: GenerationRouteDeps): Promise<ServedModel> {
  const entry = deps.catalog.find(name);
  if (entry === undefined) {
    throw unknownModel(deps.catalog, name);
  }
  return { entry, text: await deps.textModel(entry.assetsPath) };
}

async function readBody(request: Request, limits: GatewayLimits): Promise<unknown> {
  const contentType = request.headers.get('content-type')?.split(';')[0]?.trim().toLowerCase();
  if (contentType !== 'application/json') {
    const message = "The body must be JSON, with the header 'Content-Type: application/json'.";
    throw badRequest(message, null, 'invalid_content_type', 415);
  }
  const body = await readJsonBody(request, limits.bodyBytesMax);
  if (!body.ok) {
    throw bodyError(body.error);
  }
  return body.value;
}

function bodyError(error: BodyError): ApiError {
  if (error.reason === 'too_large') {
    return badRequest(`The body is larger than ${error.bytesMax} bytes. Send less.`, null, 'body_too_large', 413);
  }
  if (error.reason === 'not_utf8') {
    return badRequest('The body is not valid UTF-8.', null, 'invalid_json');
  }
  return badRequest(`The body is not valid JSON: ${error.detail}`, null, 'invalid_json');
}
