/** The three forms in which a run is answered: as a stream of events, in one piece, and as an object that tells its state. */
import type { Context } from 'hono';
import type { GatewayEnv } from '../../gateway.ts';
import { readRun, RunRemovedError } from '../../runs/read-run.ts';
import type { RunLine, RunShardClient, RunSnapshot } from '../../runs/run.ts';
import { heldResponse } from '../http/held-response.ts';
import { toApiError, type ApiError } from './errors.ts';
import { servingHeaders, type GenerationRouteDeps, type Serving } from './generation-run.ts';
import { numberedEvent, RunAnswer, runObject } from './run-answer.ts';
import { beyondEnd, runError, tooManyReaders, unknownRun } from './run-errors.ts';

export interface RunResponse {
  readonly shard: RunShardClient;
  readonly id: string;
  /** Number of the last chunk that the client has; -1 for none. */
  readonly after: number;
  /** Whether this answers the request that the run was asked for with: then its failure may be the status. */
  readonly isFirst: boolean;
  readonly context: Context<GatewayEnv>;
}

type Lines = AsyncGenerator<RunLine, void, undefined>;

export async function answerStream(response: RunResponse, deps: GenerationRouteDeps): Promise<Response> {
  const gone = new AbortController();
  const lines = await openLines(response, true, gone.signal, deps);
  return held({ response, gone, heartbeat: ': keep-alive\n\n', contentType: 'text/event-stream' }, lines, deps, events);
}

/** As the request without a key would be answered that does not stream. */
export async function answerInOnePiece(response: RunResponse, deps: GenerationRouteDeps): Promise<Response> {
  const gone = new AbortController();
  const lines = await openLines({ ...response, after: -1 }, true, gone.signal, deps);
  return held({ response, gone, heartbeat: ' ', contentType: 'application/json' }, lines, deps, wholeAnswer);
}

export async function answerRunObject(response: RunResponse, deps: GenerationRouteDeps): Promise<Response> {
  const lines = await openLines({ ...response, after: -1 }, false, new AbortController().signal, deps);
  const { answer, snapshot } = await assemble(response.id, lines, () => {});
  return Response.json(runObject(snapshot, answer), { headers: { 'cache-control': 'no-store' } });
}

interface HeldForm {
  readonly response: RunResponse;
  readonly gone: AbortController;
  readonly heartbeat: string;
  readonly contentType: string;
}

type WriteParts = (
  response: RunResponse,
  lines: Lines,
  onServing: (serving: Serving) => void,
) => AsyncGenerator<string, void, undefined>;

function held(form: HeldForm, lines: Lines, deps: GenerationRouteDeps, write: WriteParts): Promise<Response> {
  const { response, gone, heartbeat, contentType } = form;
  let serving: Serving | null = null;
  const describe = (thrown: unknown): ApiError => {
    const error = thrown instanceof RunRemovedError ? unknownRun(response.id) : toApiError(thrown);
    if (error !== thrown && error.details.status >= 500) {
      // Failures of the run itself were reported where they happened.
      deps.reportError(response.context.get('requestId'), thrown);
    }
    return error;
  };
  response.context.req.raw.signal.addEventListener('abort', () => gone.abort());
  return heldResponse(deps.clock, {
    parts: write(response, lines, (known) => {
      serving = known;
    }),
    heartbeat,
    // The run has chosen, or is about to; whoever reads it has no part in that.
    decided: null,
    sendHead: () => ({
      'content-type': `${contentType}; charset=utf-8`,
      'cache-control': 'no-cache',
      'x-accel-buffering': 'no',
      ...(serving === null ? {} : servingHeaders(serving)),
    }),
    failureResponse: (thrown) => describe(thrown).toResponse(),
    failurePart: (thrown) => {
      const json = describe(thrown).toJson();
      return contentType === 'application/json' ? json : `data: ${json}\n\n`;
    },
    onClientGone: () => gone.abort(),
  });
}

/** @throws ApiError for a run that is not there, a number that it has not reached, or too many readers. */
async function openLines(
  { shard, id, after }: RunResponse,
  isFollowing: boolean,
  signal: AbortSignal,
  deps: GenerationRouteDeps,
): Promise<Lines> {
  const reading = await readRun(shard, { id, after, isFollowing }, signal, deps.clock);
  if (reading.ok) {
    return reading.lines;
  }
  switch (reading.reason) {
    case 'not_found':
      throw unknownRun(id);
    case 'too_many_readers':
      throw tooManyReaders();
    default:
      throw beyondEnd(after, reading.snapshot);
  }
}

async function* events(
  { isFirst, after }: RunResponse,
  lines: Lines,
  onServing: (serving: Serving) => void,
): AsyncGenerator<string, void, undefined> {
  let isSilent = true;
  for await (const line of lines) {
    if (line.type === 'serving') {
      onServing(line.serving);
    } else if (line.type === 'chunk') {
      isSilent = false;
      yield numberedEvent(line.number, line.data);
    } else if (line.snapshot.status !== 'completed') {
      const error = runError(line.snapshot);
      if (isFirst && isSilent) {
        throw error;
      }
      // Not again for whoever has it: it has the number that follows the chunks.
      if (after < line.snapshot.numChunks) {
        yield numberedEvent(line.snapshot.numChunks, error.toJson());
      }
    }
  }
}

async function* wholeAnswer(
  { id }: RunResponse,
  lines: Lines,
  onServing: (serving: Serving) => void,
): AsyncGenerator<string, void, undefined> {
  const { answer, snapshot } = await assemble(id, lines, onServing);
  if (snapshot.status !== 'completed') {
    throw runError(snapshot);
  }
  yield JSON.stringify(answer.toWire(snapshot));
}

async function assemble(
  id: string,
  lines: Lines,
  onServing: (serving: Serving) => void,
): Promise<{ answer: RunAnswer; snapshot: RunSnapshot }> {
  const answer = new RunAnswer(id);
  for await (const line of lines) {
    if (line.type === 'serving') {
      onServing(line.serving);
    } else if (line.type === 'chunk') {
      answer.add(line.data);
    } else {
      return { answer, snapshot: line.snapshot };
    }
  }
  throw new Error('the lines of a run end with its state');
}
