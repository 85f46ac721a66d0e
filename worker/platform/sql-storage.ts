/** The SQLite of a Durable Object. */
import type { SqlDatabase, SqlRow } from '../storage/sql.ts';

export function sqlStorage(storage: DurableObjectStorage): SqlDatabase {
  return {
    exec: (statement, ...values) =>
      storage.sql.exec<Record<string, string | number | null>>(statement, ...values).toArray() as SqlRow[],
    transaction: (change) => storage.transactionSync(change),
    deleteAll: () => storage.deleteAll(),
  };
}
