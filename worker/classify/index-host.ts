/** Which classifiers a tenant has: ids and their age. What they are is known to their own objects alone. */
import type { SqlDatabase } from '../storage/sql.ts';
import type { ClassifierIndexClient, IndexEntry, IndexPage } from './classifier.ts';

/** `docs/storage-schema.md` describes it; a test compares the two. */
export const INDEX_SCHEMA = `CREATE TABLE IF NOT EXISTS classifier_entry (
    id TEXT PRIMARY KEY,
    created_ms INTEGER NOT NULL
  )`;

export class IndexHost implements ClassifierIndexClient {
  readonly #sql: SqlDatabase;
  readonly #classifiersMax: number;

  constructor(sql: SqlDatabase, classifiersMax: number) {
    this.#sql = sql;
    this.#classifiersMax = classifiersMax;
  }

  add({ id, createdMs }: IndexEntry): Promise<boolean> {
    const isRoom = this.#count() < this.#classifiersMax;
    if (isRoom) {
      this.#sql.exec('INSERT INTO classifier_entry (id, created_ms) VALUES (?, ?)', id, createdMs);
    }
    return Promise.resolve(isRoom);
  }

  remove(id: string): Promise<void> {
    this.#open();
    this.#sql.exec('DELETE FROM classifier_entry WHERE id = ?', id);
    return Promise.resolve();
  }

  list(after: string | null, limit: number): Promise<IndexPage | null> {
    this.#open();
    if (after !== null && this.#sql.exec('SELECT id FROM classifier_entry WHERE id = ?', after).length === 0) {
      return Promise.resolve(null);
    }
    const rows = this.#sql.exec(
      `SELECT id FROM classifier_entry WHERE ? IS NULL OR (created_ms, id) < (SELECT created_ms, id FROM classifier_entry WHERE id = ?)
        ORDER BY created_ms DESC, id DESC LIMIT ?`,
      after,
      after,
      limit + 1,
    );
    const ids = rows.map((row) => String(row['id']));
    return Promise.resolve({ ids: ids.slice(0, limit), hasMore: ids.length > limit });
  }

  clear(): Promise<void> {
    return this.#sql.deleteAll();
  }

  #count(): number {
    this.#open();
    return Number(this.#sql.exec('SELECT count(*) AS number FROM classifier_entry')[0]?.['number'] ?? 0);
  }

  /** A tenant that was cleared may come back. */
  #open(): void {
    this.#sql.exec(INDEX_SCHEMA);
  }
}
