/**
 * Runs over HTTP: requests with an `Idempotency-Key` or `"background": true`, whose answers are kept, and `/v1/responses`,
 * where a client finds them again. They go on when their client leaves; all other requests stop then.
 */
import type { Context } from 'hono';
import { sha256Hex } from '../../auth/digest.ts';
import type { GatewayEnv } from '../../gateway.ts';
import { DEFAULT_RUN_LIMITS, RUN_SHARDS_PER_TENANT } from '../../runs/limits.ts';
import type { RequestMeter } from '../../metering/request-meter.ts';
import type { RunRequest, RunShardClient } from '../../runs/run.ts';
import { badRequest } from './errors.ts';
import type { GenerationRouteDeps, GenerationSurface } from './generation-run.ts';
import { openError, unknownRun } from './run-errors.ts';
import { answerInOnePiece, answerRunObject, answerStream, type RunResponse } from './run-response.ts';

const KEY_HEADER = 'idempotency-key';
const LAST_EVENT_HEADER = 'last-event-id';

/** @throws ApiError when the header is there and no key. */
export function readKey(request: Request): string | null {
  const key = request.headers.get(KEY_HEADER);
  const { keyLengthMax } = DEFAULT_RUN_LIMITS;
  if (key !== null && (key === '' || key.length > keyLengthMax)) {
    const message = `The header 'Idempotency-Key' must have 1 to ${keyLengthMax} characters, not ${key.length}.`;
    throw badRequest(message, null, 'invalid_idempotency_key');
  }
  return key;
}

/** @throws ApiError on endpoints whose answers are not kept: the key would have no effect. */
export function refuseKey(request: Request): void {
  if (readKey(request) !== null) {
    const message = "The header 'Idempotency-Key' is not supported by this endpoint. Remove it.";
    throw badRequest(message, null, 'unsupported_header');
  }
}

interface AskedRun {
  readonly body: unknown;
  readonly isBackground: boolean;
  readonly key: string | null;
  readonly createdMs: number;
  readonly meter: RequestMeter;
}

/** Starts a run, or finds the one of the key, and answers as the request without a key would be. */
export async function answerRun(
  context: Context<GatewayEnv>,
  surface: GenerationSurface,
  asked: AskedRun,
  deps: GenerationRouteDeps,
): Promise<Response> {
  const after = readLastEventId(context.req.raw) ?? -1;
  const request = await createRequest(context, surface, asked, deps);
  const shard = deps.runs(request.tenant, shardOf(request.id) ?? 0);
  const opened = await shard.open(request);
  if (opened.ok || opened.reason === 'refused') {
    // The run has a record of its own, however often it is asked for.
    asked.meter.handOver();
  }
  if (!opened.ok) {
    throw openError(opened);
  }
  const response: RunResponse = { shard, id: opened.snapshot.id, after, isFirst: true, context };
  const { stream } = Object(asked.body) as { stream?: unknown };
  if (stream === true) {
    return answerStream(response, deps);
  }
  return asked.isBackground ? answerRunObject(response, deps) : answerInOnePiece(response, deps);
}

async function createRequest(
  context: Context<GatewayEnv>,
  surface: GenerationSurface,
  { body, isBackground, key, createdMs }: AskedRun,
  deps: GenerationRouteDeps,
): Promise<RunRequest> {
  const text = JSON.stringify(body);
  const keyDigest = key === null ? null : await sha256Hex(key);
  const seed = deps.randomSeed();
  // A key leads to the object that may know it; the object's number is the first digit of the id.
  const shardIndex = (keyDigest === null ? seed : Number.parseInt(keyDigest.slice(0, 2), 16)) % RUN_SHARDS_PER_TENANT;
  return {
    id: `${surface.idPrefix}-${shardIndex}${deps.randomId()}`,
    surface: surface.name,
    tenant: context.get('tenant'),
    body: text,
    isBackground,
    keyDigest,
    bodyDigest: await sha256Hex(`${surface.name}\n${isBackground}\n${text}`),
    createdMs,
    seed,
    requestId: context.get('requestId'),
  };
}

/** `GET /v1/responses/{id}`: the rest of the stream, or what is there. */
export function getRun(context: Context<GatewayEnv>, deps: GenerationRouteDeps): Promise<Response> {
  const { shard, id } = findShard(context, deps);
  const lastEventId = readLastEventId(context.req.raw);
  const { stream, starting_after: startingAfter } = context.req.query();
  if (stream !== undefined && stream !== 'true' && stream !== 'false') {
    throw badRequest("Invalid value for 'stream': expected true or false.", 'stream', 'invalid_value');
  }
  // A reader of event streams repeats its address with the number that it has come to meanwhile.
  const isStream = stream === 'true' || (stream === undefined && lastEventId !== null);
  if (startingAfter !== undefined && !isStream) {
    throw badRequest("'starting_after' is only allowed when 'stream' is true.", 'starting_after', 'invalid_value');
  }
  const after = lastEventId ?? (startingAfter === undefined ? -1 : parseNumber(startingAfter, 'starting_after'));
  const response: RunResponse = { shard, id, after, isFirst: false, context };
  return isStream ? answerStream(response, deps) : answerRunObject(response, deps);
}

/** `POST /v1/responses/{id}/cancel`. Of a run that is over already nothing changes. */
export async function cancelRun(context: Context<GatewayEnv>, deps: GenerationRouteDeps): Promise<Response> {
  const { shard, id } = findShard(context, deps);
  if ((await shard.cancel(id)) === null) {
    throw unknownRun(id);
  }
  return answerRunObject({ shard, id, after: -1, isFirst: false, context }, deps);
}

/** `DELETE /v1/responses/{id}`: a run that is under way is cancelled first. */
export async function deleteRun(context: Context<GatewayEnv>, deps: GenerationRouteDeps): Promise<Response> {
  const { shard, id } = findShard(context, deps);
  if (!(await shard.remove(id))) {
    throw unknownRun(id);
  }
  return context.json({ id, object: 'response', deleted: true });
}

function findShard(context: Context<GatewayEnv>, deps: GenerationRouteDeps): { shard: RunShardClient; id: string } {
  const id = context.req.param('id') ?? '';
  const shardIndex = shardOf(id);
  if (shardIndex === null) {
    throw unknownRun(id);
  }
  return { shard: deps.runs(context.get('tenant'), shardIndex), id };
}

const RUN_ID = /^(?:chatcmpl|cmpl)-(\d)[0-9a-zA-Z]{1,64}$/;

/** The object that has the run, as its id says; null for what is no id of a run. */
function shardOf(id: string): number | null {
  const digit = RUN_ID.exec(id)?.[1];
  return digit !== undefined && Number(digit) < RUN_SHARDS_PER_TENANT ? Number(digit) : null;
}

function readLastEventId(request: Request): number | null {
  const header = request.headers.get(LAST_EVENT_HEADER);
  return header === null || header === '' ? null : parseNumber(header, 'Last-Event-ID');
}

const SEQUENCE_NUMBER = /^\d{1,9}$/;

function parseNumber(text: string, param: string): number {
  if (!SEQUENCE_NUMBER.test(text)) {
    const message = `Invalid value for '${param}': expected the sequence number of the last event that you have.`;
    throw badRequest(message, param, 'invalid_value');
  }
  return Number(text);
}
