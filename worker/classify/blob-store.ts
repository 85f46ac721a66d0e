/** Long values in SQLite, in parts: a row may hold 2 MB. */
import type { SqlDatabase } from '../storage/sql.ts';

/** Half of what a row may hold. */
export const BLOB_PART_BYTES = 1024 * 1024;

export const BLOB_SCHEMA = `CREATE TABLE IF NOT EXISTS blob (
    key TEXT NOT NULL,
    part INTEGER NOT NULL,
    bytes BLOB NOT NULL,
    PRIMARY KEY (key, part)
  ) WITHOUT ROWID`;

export class BlobStore {
  readonly #sql: SqlDatabase;

  constructor(sql: SqlDatabase) {
    this.#sql = sql;
  }

  /** Not within a transaction of its own: callers put it into theirs. */
  write(key: string, bytes: Uint8Array): void {
    this.remove(key);
    const numParts = Math.max(1, Math.ceil(bytes.length / BLOB_PART_BYTES));
    for (let part = 0; part < numParts; part++) {
      const slice = bytes.slice(part * BLOB_PART_BYTES, (part + 1) * BLOB_PART_BYTES);
      this.#sql.exec('INSERT INTO blob (key, part, bytes) VALUES (?, ?, ?)', key, part, slice);
    }
  }

  /** Null when there is none. */
  read(key: string): Uint8Array<ArrayBuffer> | null {
    const rows = this.#sql.exec('SELECT bytes FROM blob WHERE key = ? ORDER BY part', key);
    const parts = rows.map((row) => row['bytes'] as Uint8Array);
    if (parts.length === 0) {
      return null;
    }
    const bytes = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
    let end = 0;
    for (const part of parts) {
      bytes.set(part, end);
      end += part.length;
    }
    return bytes;
  }

  remove(key: string): void {
    this.#sql.exec('DELETE FROM blob WHERE key = ?', key);
  }

  removeAll(prefix: string): void {
    this.#sql.exec('DELETE FROM blob WHERE substr(key, 1, ?) = ?', prefix.length, prefix);
  }
}

/** Vectors are little-endian, as every machine is that runs Workers or Node. */
export function floatBytes(values: Float32Array): Uint8Array {
  return new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
}

export function bytesToFloats(bytes: Uint8Array<ArrayBuffer>): Float32Array<ArrayBuffer> {
  return new Float32Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / Float32Array.BYTES_PER_ELEMENT);
}
