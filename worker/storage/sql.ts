/** SQLite of one Durable Object, as far as the gateway's objects use it: theirs when deployed, Node's own in a test. */

/** Bytes are `Uint8Array`s both ways. */
export type SqlValue = string | number | null | Uint8Array<ArrayBuffer>;
export type SqlRow = Readonly<Record<string, SqlValue>>;

export interface SqlDatabase {
  /**
   * Runs one statement.
   * @param values for its `?`, in order.
   * @throws Error of the database, such as a broken constraint or a full disk.
   */
  exec(statement: string, ...values: readonly SqlValue[]): readonly SqlRow[];
  /** Runs `change` as a whole or, when it throws, not at all. */
  transaction(change: () => void): void;
  /** Leaves nothing, no table and no row. */
  deleteAll(): Promise<void>;
}
