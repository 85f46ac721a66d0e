/**
 * What an object with runs does: starts them, goes on with those that another life of it left unfinished, lets readers
 * follow, and removes what has been kept for long enough.
 */
import type { GenerationRouteDeps } from '../api/openai/generation-run.ts';
import type { SqlDatabase } from '../storage/sql.ts';
import { DEFAULT_RUN_LIMITS, type RunLimits } from './limits.ts';
import type { OpenRunResult, ReadRunRequest, ReadRunResult, RunRequest, RunShardClient, RunSnapshot } from './run.ts';
import { CANCELLED, RunDriver } from './run-driver.ts';
import { followRun } from './run-reader.ts';
import { RunStore, snapshotOf, type RunRecord } from './run-store.ts';

export interface RunHostOptions {
  readonly sql: SqlDatabase;
  readonly route: GenerationRouteDeps;
  /** Asks to be woken at a time, in milliseconds since the epoch; one at most. Null: not any more. */
  readonly setAlarm: (atMs: number | null) => void;
  readonly limits?: RunLimits;
}

export class RunHost implements RunShardClient {
  readonly #options: RunHostOptions;
  readonly #limits: RunLimits;
  readonly #drivers = new Map<string, RunDriver>();
  readonly #numReaders = new Map<string, number>();
  #store: RunStore | null = null;
  #alarmAtMs: number | null = null;

  constructor(options: RunHostOptions) {
    this.#options = options;
    this.#limits = options.limits ?? DEFAULT_RUN_LIMITS;
  }

  async open(request: RunRequest): Promise<OpenRunResult> {
    const store = this.#wake();
    const known = request.keyDigest === null ? null : store.findByKey(request.keyDigest);
    if (known !== null && known.bodyDigest !== request.bodyDigest) {
      return { ok: false, reason: 'key_reused' };
    }
    const id = known?.id ?? request.id;
    if (known === null) {
      const { live, kept } = store.count();
      if (live >= this.#limits.liveRunsMax || kept >= this.#limits.keptRunsMax) {
        return { ok: false, reason: 'too_many_runs' };
      }
      store.insert(request);
      this.#wake();
    }
    const driver = this.#drivers.get(id);
    const error = (await driver?.prepared) ?? null;
    const snapshot = this.#snapshot(id);
    if (snapshot === null) {
      return { ok: false, reason: 'refused', error: error ?? CANCELLED };
    }
    return { ok: true, snapshot };
  }

  read({ id, after, isFollowing }: ReadRunRequest): Promise<ReadRunResult> {
    const store = this.#wake();
    const snapshot = this.#snapshot(id);
    if (snapshot === null) {
      return Promise.resolve({ ok: false, reason: 'not_found' });
    }
    // The error of a run that failed has the number that follows its chunks.
    const numEvents = snapshot.numChunks + (snapshot.error === null ? 0 : 1);
    if (after >= numEvents) {
      return Promise.resolve({ ok: false, reason: 'beyond_end', snapshot });
    }
    const numReaders = this.#numReaders.get(id) ?? 0;
    if (numReaders >= this.#limits.readersMax) {
      return Promise.resolve({ ok: false, reason: 'too_many_readers' });
    }
    this.#numReaders.set(id, numReaders + 1);
    const stream = followRun({
      first: after + 1,
      chunksFrom: (first) => store.chunksFrom(id, first),
      snapshot: () => this.#snapshot(id),
      changed: isFollowing ? () => this.#drivers.get(id)?.changed() ?? null : () => null,
      onEnd: () => this.#readerLeft(id),
    });
    return Promise.resolve({ ok: true, stream });
  }

  async cancel(id: string): Promise<RunSnapshot | null> {
    this.#wake();
    const driver = this.#drivers.get(id);
    driver?.cancel();
    await driver?.ended;
    return this.#snapshot(id);
  }

  remove(id: string): Promise<boolean> {
    const store = this.#wake();
    this.#drivers.get(id)?.remove();
    this.#drivers.delete(id);
    return Promise.resolve(store.remove(id));
  }

  async forget(): Promise<number> {
    const store = this.#wake();
    const { kept } = store.count();
    const drivers = [...this.#drivers.values()];
    this.#drivers.clear();
    drivers.forEach((driver) => driver.remove());
    // After its end a run writes nothing any more, wherever it was.
    await Promise.all(drivers.map((driver) => driver.ended));
    this.#store = null;
    await this.#options.sql.deleteAll();
    this.#setAlarm(null);
    return kept;
  }

  /** What `setAlarm` asked for. */
  alarm(): void {
    this.#alarmAtMs = null;
    this.#wake();
    this.#arm();
  }

  /** Whatever wakes the object: what is over is removed, and what nobody drives goes on. */
  #wake(): RunStore {
    this.#store ??= new RunStore(this.#options.sql);
    this.#store.removeEnded(this.#options.route.epochMs() - this.#limits.retentionMs);
    for (const id of this.#store.unfinished()) {
      const record = this.#drivers.has(id) ? null : this.#store.begin(id);
      if (record !== null) {
        this.#start(this.#store, record);
      }
    }
    return this.#store;
  }

  #start(store: RunStore, record: RunRecord): void {
    const { id } = record;
    const driver = new RunDriver(record, { route: this.#options.route, store, limits: this.#limits });
    this.#drivers.set(id, driver);
    driver.ended
      .then(() => {
        if (this.#drivers.get(id) === driver) {
          this.#drivers.delete(id);
          this.#arm();
        }
      })
      .catch((thrown: unknown) => this.#options.route.reportError(id, thrown));
    this.#arm();
  }

  /** Soon while something runs; else when the first run's time is over. */
  #arm(): void {
    const firstEndedMs = this.#store?.firstEndedMs() ?? null;
    const times = [
      ...(this.#drivers.size > 0 ? [this.#options.route.epochMs() + this.#limits.pulseMs] : []),
      ...(firstEndedMs === null ? [] : [firstEndedMs + this.#limits.retentionMs]),
    ];
    const atMs = times.length === 0 ? null : Math.min(...times);
    if (atMs !== null && (this.#alarmAtMs === null || atMs < this.#alarmAtMs)) {
      this.#setAlarm(atMs);
    }
  }

  #setAlarm(atMs: number | null): void {
    this.#alarmAtMs = atMs;
    this.#options.setAlarm(atMs);
  }

  #snapshot(id: string): RunSnapshot | null {
    const record = this.#store?.find(id) ?? null;
    return record === null ? null : snapshotOf(record, this.#limits.retentionMs);
  }

  #readerLeft(id: string): void {
    const numReaders = (this.#numReaders.get(id) ?? 0) - 1;
    if (numReaders > 0) {
      this.#numReaders.set(id, numReaders);
    } else {
      this.#numReaders.delete(id);
    }
  }
}
