/** Drives one run from where it stands to its end. Whoever waits for it is told when something has changed. */
import { AbortedError } from '../../shards/client/abort.ts';
import { ApiError, badRequest, toApiError, type ApiErrorDetails } from '../api/openai/errors.ts';
import { createJob, GENERATION_SURFACES } from '../api/openai/generation-job.ts';
import { GenerationRun, type GenerationRouteDeps } from '../api/openai/generation-run.ts';
import { RequestMeter } from '../metering/request-meter.ts';
import type { ServedRecord } from '../metering/served-record.ts';
import { isRingEntry, type CatalogEntry } from '../routing/catalog.ts';
import { BatchWriter } from './batch-writer.ts';
import type { RunLimits } from './limits.ts';
import type { RunRequest } from './run.ts';
import type { RunRecord, RunStore } from './run-store.ts';

export interface RunDriverDeps {
  readonly route: GenerationRouteDeps;
  readonly store: RunStore;
  readonly limits: RunLimits;
}

/** Told to whoever reads a run that somebody has cancelled. */
export const CANCELLED: ApiErrorDetails = badRequest('The run was cancelled.', null, 'run_cancelled').details;

export class RunDriver {
  /** Resolves when it is known whether somebody serves the run: to why not, or to null. */
  readonly prepared: Promise<ApiErrorDetails | null>;
  /** Resolves when the run has ended and that is written. Never rejects. */
  readonly ended: Promise<void>;
  readonly #record: RunRecord;
  readonly #request: RunRequest;
  readonly #deps: RunDriverDeps;
  readonly #stop = new AbortController();
  readonly #waiting = new Set<() => void>();
  #settlePrepared: (refusal: ApiErrorDetails | null) => void = () => {};
  #storageFailure: unknown = null;
  /** What has begun is known to be served; only a new request can be refused. */
  #isPrepared: boolean;
  #isRemoved = false;

  constructor(record: RunRecord, deps: RunDriverDeps) {
    this.#record = record;
    this.#request = deps.store.request(record.id);
    this.#deps = deps;
    this.#isPrepared = record.numChunks > 0 || record.numFruitlessLives > 1;
    this.prepared = new Promise((resolve) => {
      this.#settlePrepared = resolve;
    });
    this.ended = this.#drive().catch((thrown: unknown) => {
      deps.route.reportError(this.#request.requestId, thrown);
      this.#settlePrepared(toApiError(thrown).details);
      this.#notify();
    });
  }

  /** Resolves when there is more to read, or the run has ended. */
  changed(): Promise<void> {
    return new Promise((resolve) => {
      this.#waiting.add(resolve);
    });
  }

  cancel(): void {
    this.#stop.abort();
  }

  /** Nothing is written of it any more: it is about to be removed. */
  remove(): void {
    this.#isRemoved = true;
    this.#stop.abort();
  }

  async #drive(): Promise<void> {
    const { id } = this.#record;
    const { route, store } = this.#deps;
    const served: ServedRecord[] = [];
    const meter = this.#createMeter(served);
    let error: ApiErrorDetails | null = null;
    try {
      await this.#generate(meter);
    } catch (thrown) {
      error = this.#describe(thrown);
      meter.end(error.status < 500 ? 'refused' : 'failed', error.code ?? null);
      if (!this.#isPrepared && !this.#isRemoved) {
        // Nothing was begun, so nothing is kept.
        this.#isRemoved = true;
        store.remove(id);
      }
    }
    const [record] = served;
    if (!this.#isRemoved) {
      const isCancelled = error?.code === CANCELLED.code;
      store.end(id, {
        status: error === null ? 'completed' : isCancelled ? 'cancelled' : 'failed',
        endedMs: route.epochMs(),
        usage: record === undefined ? null : usageOf(record),
        error,
      });
    }
    // After the end is written: another life would not come to it again, and so there is one record.
    served.forEach((entry) => route.metering.record(entry));
    this.#settlePrepared(error);
    this.#notify();
  }

  #createMeter(served: ServedRecord[]): RequestMeter {
    const { ttftMs, numChunks } = this.#record;
    const { requestId, tenant, surface, createdMs } = this.#request;
    const { route } = this.#deps;
    const meter = new RequestMeter(
      { record: (entry) => void served.push(entry) },
      route.clock,
      { requestId, tenant, surface, startedAtMs: createdMs },
      { elapsedMs: Math.max(0, route.epochMs() - createdMs), ttftMs },
    );
    if (numChunks > 0) {
      meter.resumed();
    }
    return meter;
  }

  async #generate(meter: RequestMeter): Promise<void> {
    const { numChunks, numBytes } = this.#record;
    const { surface, body, id, tenant, createdMs, seed } = this.#request;
    const { route, store, limits } = this.#deps;
    let run: GenerationRun | null = null;
    const writer = new BatchWriter({
      past: numChunks === 0 ? [] : store.events(id),
      numPastChunks: numChunks,
      numPastBytes: numBytes,
      limits,
      clock: route.clock,
      write: (batch) => {
        if (run !== null && !this.#isRemoved) {
          store.append(id, batch, run.serving, meter.ttftMs);
          this.#notify();
        }
      },
      onFailure: (thrown) => {
        this.#storageFailure = thrown;
        meter.end('failed', toApiError(thrown).details.code ?? null);
        this.#stop.abort();
      },
    });
    if (this.#record.numFruitlessLives > limits.fruitlessLivesMax) {
      throw interrupted(`The platform was interrupted ${limits.fruitlessLivesMax} times in a row by this request.`);
    }
    const boundTo = this.#boundTo();
    const answerId = id.slice(id.indexOf('-') + 1);
    const randomSeed = (): number => seed;
    const origin = { answerId, tenant, createdMs, randomSeed, meter, journal: writer, boundTo };
    try {
      run = new GenerationRun(createJob(GENERATION_SURFACES[surface], JSON.parse(body), origin, route), route);
      await run.prepare();
      this.#isPrepared = true;
      this.#settlePrepared(null);
      for await (const part of run.parts(this.#stop.signal)) {
        keep(part, writer, meter);
      }
    } finally {
      writer.flush();
    }
  }

  /** @throws ApiError when nobody can go on with what is there. */
  #boundTo(): CatalogEntry | null {
    const { serving, numChunks } = this.#record;
    if (serving === null || numChunks === 0) {
      return null;
    }
    const entry = this.#deps.route.catalog.find(serving.model);
    if (entry !== undefined && isRingEntry(entry)) {
      return entry;
    }
    throw interrupted(
      `The platform was interrupted while '${serving.servedBy}' answered, and an origin's answer cannot be continued.`,
    );
  }

  #describe(thrown: unknown): ApiErrorDetails {
    if (thrown instanceof AbortedError && this.#storageFailure === null) {
      return CANCELLED;
    }
    const cause = this.#storageFailure ?? thrown;
    const error = toApiError(cause);
    if (error.details.status >= 500) {
      this.#deps.route.reportError(this.#request.requestId, cause);
    }
    return error.details;
  }

  #notify(): void {
    const waiting = [...this.#waiting];
    this.#waiting.clear();
    waiting.forEach((resolve) => resolve());
  }
}

function interrupted(what: string): ApiError {
  return new ApiError({
    status: 503,
    type: 'server_error',
    code: 'run_interrupted',
    message: `${what} Send the request again with another Idempotency-Key.`,
    isFinal: true,
  });
}

/** A run that is too large to be kept has failed, whoever reads it. */
function keep(part: string, writer: BatchWriter, meter: RequestMeter): void {
  try {
    writer.add(part);
  } catch (thrown) {
    meter.end('failed', toApiError(thrown).details.code ?? null);
    throw thrown;
  }
}

function usageOf({ promptTokens, completionTokens, cachedTokens, reasoningTokens }: ServedRecord) {
  return { promptTokens, completionTokens, cachedTokens, reasoningTokens };
}
