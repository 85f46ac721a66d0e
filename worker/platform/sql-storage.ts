/** The SQLite of a Durable Object. */
import type { SqlDatabase, SqlRow, SqlValue } from '../storage/sql.ts';

export function sqlStorage(storage: DurableObjectStorage): SqlDatabase {
  return {
    exec: (statement, ...values) =>
      storage.sql
        .exec<Record<string, SqlStorageValue>>(statement, ...values)
        .toArray()
        .map(toRow),
    transaction: (change) => storage.transactionSync(change),
    deleteAll: () => storage.deleteAll(),
  };
}

/** The runtime gives bytes as buffers. */
function toRow(row: Record<string, SqlStorageValue>): SqlRow {
  const values: Record<string, SqlValue> = {};
  for (const [name, value] of Object.entries(row)) {
    values[name] = value instanceof ArrayBuffer ? new Uint8Array(value) : value;
  }
  return values;
}
