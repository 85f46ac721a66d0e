/** Node's SQLite in the place of an object's. */
import { DatabaseSync } from 'node:sqlite';
import type { SqlDatabase, SqlRow } from '../../storage/sql.ts';

/**
 * @param onStatement told about each statement before it runs; one that ends the life keeps it from running.
 * @returns the database as one life of an object sees it, and what ends that life: afterwards it answers nothing.
 */
export function openLife(
  database: DatabaseSync,
  onStatement: (statement: string) => void = () => {},
): { readonly sql: SqlDatabase; readonly end: () => void } {
  let isOver = false;
  const alive = (): DatabaseSync => {
    if (isOver) {
      throw new Error('this life of the object is over');
    }
    return database;
  };
  const sql: SqlDatabase = {
    exec(statement, ...values) {
      onStatement(statement);
      return alive()
        .prepare(statement)
        .all(...values) as SqlRow[];
    },
    transaction(change) {
      alive().exec('BEGIN');
      try {
        change();
        database.exec('COMMIT');
      } catch (thrown) {
        database.exec('ROLLBACK');
        throw thrown;
      }
    },
    deleteAll() {
      const tables = alive().prepare("SELECT name FROM sqlite_master WHERE type = 'table'").all();
      tables.forEach(({ name }) => database.exec(`DROP TABLE "${String(name)}"`));
      return Promise.resolve();
    },
  };
  return { sql, end: () => void (isOver = true) };
}

export const newDatabase = (): DatabaseSync => new DatabaseSync(':memory:');
