/** Answers that are one JSON text, of work that may take a while: see `heldResponse`. */
import type { Clock } from '../../../shards/platform/clock.ts';
import { AbortedError } from '../../../shards/client/abort.ts';
import type { RequestMeter } from '../../metering/request-meter.ts';
import { toApiError, type ApiError } from '../openai/errors.ts';
import { heldResponse } from './held-response.ts';

export interface JsonWork {
  readonly clock: Clock;
  /** Ends with the answer, however that ends. */
  readonly meter: RequestMeter;
  /** @returns the body. @throws whatever becomes an error of the API. */
  readonly work: (signal: AbortSignal) => Promise<unknown>;
  /** Headers beside those of every JSON answer. */
  readonly headers: () => Readonly<Record<string, string>>;
  /** Told about failures that are not the client's. */
  readonly reportError: (thrown: unknown) => void;
}

export function heldJson(request: Request, job: JsonWork): Promise<Response> {
  const gone = new AbortController();
  request.signal.addEventListener('abort', () => gone.abort());
  const describe = (thrown: unknown): ApiError => {
    const error = toApiError(thrown);
    if (error.details.status >= 500) {
      job.reportError(thrown);
    }
    return error;
  };
  return heldResponse(job.clock, {
    parts: parts(job, gone.signal),
    heartbeat: ' ',
    isWhole: true,
    decided: null,
    sendHead: () => ({
      'content-type': 'application/json; charset=utf-8',
      'cache-control': 'no-cache',
      ...job.headers(),
    }),
    failureResponse: (thrown) => describe(thrown).toResponse(),
    failurePart: (thrown) => describe(thrown).toJson(),
    onClientGone: () => {
      gone.abort();
      job.meter.end('client_gone');
    },
  });
}

async function* parts({ work, meter }: JsonWork, signal: AbortSignal): AsyncGenerator<string, void, undefined> {
  try {
    const body = await work(signal);
    meter.end('completed');
    yield JSON.stringify(body);
  } catch (thrown) {
    meter.end(thrown instanceof AbortedError ? 'client_gone' : 'failed', toApiError(thrown).details.code ?? null);
    throw thrown;
  } finally {
    meter.end('client_gone');
  }
}
