/** The runs of one object in its SQLite. A run's chunks lie in batches, with the events that they were made from. */
import type { ApiErrorDetails } from '../api/openai/errors.ts';
import type { Serving } from '../api/openai/generation-run.ts';
import type { Merged } from '../generation/merge.ts';
import type { TextEvent } from '../generation/text-sequence.ts';
import type { SqlDatabase, SqlRow } from '../storage/sql.ts';
import { isEnded, type RunRequest, type RunSnapshot, type RunStatus, type RunUsage } from './run.ts';

/** `docs/storage-schema.md` describes it; a test compares the two. */
export const RUN_SCHEMA = [
  `CREATE TABLE IF NOT EXISTS run (
    id TEXT PRIMARY KEY,
    key_digest TEXT UNIQUE,
    body_digest TEXT NOT NULL,
    request TEXT NOT NULL,
    is_background INTEGER NOT NULL,
    created_ms INTEGER NOT NULL,
    status TEXT NOT NULL,
    ended_ms INTEGER,
    ttft_ms INTEGER,
    num_chunks INTEGER NOT NULL,
    num_bytes INTEGER NOT NULL,
    num_fruitless_lives INTEGER NOT NULL,
    serving TEXT,
    usage TEXT,
    error TEXT
  )`,
  `CREATE TABLE IF NOT EXISTS batch (
    run_id TEXT NOT NULL,
    first_number INTEGER NOT NULL,
    chunks TEXT NOT NULL,
    events TEXT NOT NULL,
    PRIMARY KEY (run_id, first_number)
  ) WITHOUT ROWID`,
] as const;

/** What is looked at often: a request may be large, and is not in it. */
const RECORD_COLUMNS =
  'id, body_digest, is_background, created_ms, status, ended_ms, ttft_ms, num_chunks, num_bytes, num_fruitless_lives, ' +
  'serving, usage, error';

export interface RunRecord {
  readonly id: string;
  readonly bodyDigest: string;
  readonly isBackground: boolean;
  readonly createdMs: number;
  readonly status: RunStatus;
  readonly endedMs: number | null;
  /** From the request to the first chunk. */
  readonly ttftMs: number | null;
  readonly numChunks: number;
  readonly numBytes: number;
  /** Lives of the object that have driven it since its last chunk, this one included. */
  readonly numFruitlessLives: number;
  readonly serving: Serving | null;
  readonly usage: RunUsage | null;
  readonly error: ApiErrorDetails | null;
}

export interface RunEnd {
  readonly status: Extract<RunStatus, 'completed' | 'failed' | 'cancelled'>;
  readonly endedMs: number;
  readonly usage: RunUsage | null;
  readonly error: ApiErrorDetails | null;
}

export interface RunBatch {
  /** Data of server-sent events: JSON, without line breaks. */
  readonly chunks: readonly string[];
  readonly events: readonly Merged<TextEvent>[];
  readonly numBytes: number;
}

export class RunStore {
  readonly #sql: SqlDatabase;

  constructor(sql: SqlDatabase) {
    this.#sql = sql;
    RUN_SCHEMA.forEach((statement) => sql.exec(statement));
  }

  insert(request: RunRequest): void {
    this.#sql.exec(
      `INSERT INTO run (id, key_digest, body_digest, request, is_background, created_ms, status, num_chunks, num_bytes,
        num_fruitless_lives) VALUES (?, ?, ?, ?, ?, ?, 'queued', 0, 0, 0)`,
      request.id,
      request.keyDigest,
      request.bodyDigest,
      JSON.stringify(request),
      request.isBackground ? 1 : 0,
      request.createdMs,
    );
  }

  /** Counts a life that drives the run. @returns the run, null when it is not there. */
  begin(id: string): RunRecord | null {
    this.#sql.exec('UPDATE run SET num_fruitless_lives = num_fruitless_lives + 1 WHERE id = ?', id);
    return this.find(id);
  }

  find(id: string): RunRecord | null {
    return toRecord(this.#sql.exec(`SELECT ${RECORD_COLUMNS} FROM run WHERE id = ?`, id)[0]);
  }

  findByKey(keyDigest: string): RunRecord | null {
    return toRecord(this.#sql.exec(`SELECT ${RECORD_COLUMNS} FROM run WHERE key_digest = ?`, keyDigest)[0]);
  }

  /** The request of a run that is there. */
  request(id: string): RunRequest {
    const [row] = this.#sql.exec('SELECT request FROM run WHERE id = ?', id);
    return JSON.parse(String(row?.['request'])) as RunRequest;
  }

  count(): { readonly live: number; readonly kept: number } {
    const [row] = this.#sql.exec('SELECT count(*) AS kept, count(*) - count(ended_ms) AS live FROM run');
    return { live: Number(row?.['live']), kept: Number(row?.['kept']) };
  }

  unfinished(): string[] {
    return this.#sql.exec('SELECT id FROM run WHERE ended_ms IS NULL').map((row) => String(row['id']));
  }

  /** When the run ended that is kept for longest; null without one. */
  firstEndedMs(): number | null {
    const first = this.#sql.exec('SELECT min(ended_ms) AS first FROM run')[0]?.['first'];
    return typeof first === 'number' ? first : null;
  }

  /** Adds a batch behind the chunks that are there. */
  append(id: string, batch: RunBatch, serving: Serving, ttftMs: number | null): void {
    this.#sql.transaction(() => {
      this.#sql.exec(
        'INSERT INTO batch (run_id, first_number, chunks, events) SELECT id, num_chunks, ?, ? FROM run WHERE id = ?',
        batch.chunks.join('\n'),
        batch.events.map((event) => JSON.stringify(event)).join('\n'),
        id,
      );
      this.#sql.exec(
        `UPDATE run SET status = 'in_progress', num_chunks = num_chunks + ?, num_bytes = num_bytes + ?, serving = ?,
          num_fruitless_lives = 0, ttft_ms = coalesce(ttft_ms, ?) WHERE id = ?`,
        batch.chunks.length,
        batch.numBytes,
        JSON.stringify(serving),
        ttftMs,
        id,
      );
    });
  }

  /** A run that failed before its first chunk lets go of its key: the same request may be tried again. */
  end(id: string, { status, endedMs, usage, error }: RunEnd): void {
    this.#sql.exec(
      `UPDATE run SET status = ?, ended_ms = ?, usage = ?, error = ?,
        key_digest = CASE WHEN ? = 'failed' AND num_chunks = 0 THEN NULL ELSE key_digest END WHERE id = ?`,
      status,
      endedMs,
      usage === null ? null : JSON.stringify(usage),
      error === null ? null : JSON.stringify(error),
      status,
      id,
    );
  }

  /** Chunks from number `first` on, up to the end of a batch. Empty when there is none yet. */
  chunksFrom(id: string, first: number): readonly string[] {
    const [row] = this.#sql.exec(
      'SELECT first_number, chunks FROM batch WHERE run_id = ? AND first_number <= ? ORDER BY first_number DESC LIMIT 1',
      id,
      first,
    );
    return row === undefined
      ? []
      : String(row['chunks'])
          .split('\n')
          .slice(first - Number(row['first_number']));
  }

  /** All events that were noted, in order. */
  events(id: string): Merged<TextEvent>[] {
    return this.#sql
      .exec("SELECT events FROM batch WHERE run_id = ? AND events <> '' ORDER BY first_number", id)
      .flatMap((row) => String(row['events']).split('\n'))
      .map((line) => JSON.parse(line) as Merged<TextEvent>);
  }

  /** @returns whether there was one. */
  remove(id: string): boolean {
    const isThere = this.find(id) !== null;
    this.#sql.transaction(() => {
      this.#sql.exec('DELETE FROM batch WHERE run_id = ?', id);
      this.#sql.exec('DELETE FROM run WHERE id = ?', id);
    });
    return isThere;
  }

  /** Removes what ended at `endedMs` or before. */
  removeEnded(endedMs: number): void {
    this.#sql.transaction(() => {
      this.#sql.exec('DELETE FROM batch WHERE run_id IN (SELECT id FROM run WHERE ended_ms <= ?)', endedMs);
      this.#sql.exec('DELETE FROM run WHERE ended_ms <= ?', endedMs);
    });
  }
}

export function snapshotOf(record: RunRecord, retentionMs: number): RunSnapshot {
  const { id, isBackground, createdMs, status, endedMs, numChunks, serving, usage, error } = record;
  const expiresMs = endedMs !== null && isEnded(status) ? endedMs + retentionMs : null;
  return { id, status, isBackground, createdMs, expiresMs, numChunks, serving, usage, error };
}

function toRecord(row: SqlRow | undefined): RunRecord | null {
  if (row === undefined) {
    return null;
  }
  const json = (name: string): unknown => (row[name] === null ? null : JSON.parse(String(row[name])));
  const count = (name: string): number | null => (row[name] === null ? null : Number(row[name]));
  return {
    id: String(row['id']),
    bodyDigest: String(row['body_digest']),
    isBackground: row['is_background'] === 1,
    createdMs: Number(row['created_ms']),
    status: row['status'] as RunStatus,
    endedMs: count('ended_ms'),
    ttftMs: count('ttft_ms'),
    numChunks: Number(row['num_chunks']),
    numBytes: Number(row['num_bytes']),
    numFruitlessLives: Number(row['num_fruitless_lives']),
    serving: json('serving') as Serving | null,
    usage: json('usage') as RunUsage | null,
    error: json('error') as ApiErrorDetails | null,
  };
}
