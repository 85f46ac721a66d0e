/** The prefixes of one tenant in the SQLite of its object. Those whose time is over are removed by an alarm. */
import type { SqlDatabase, SqlRow } from '../storage/sql.ts';
import type { Prefix, PrefixInfo, PrefixShardClient, RemovedPrefix } from './prefix.ts';

/** `docs/storage-schema.md` describes it; a test compares the two. */
export const PREFIX_SCHEMA = [
  `CREATE TABLE IF NOT EXISTS prefix (
    id TEXT PRIMARY KEY,
    digest TEXT NOT NULL UNIQUE,
    model TEXT NOT NULL,
    tokens TEXT NOT NULL,
    cached_tokens INTEGER NOT NULL,
    created_ms INTEGER NOT NULL,
    expires_ms INTEGER NOT NULL,
    prompt_cache_key TEXT
  )`,
] as const;

export interface PrefixHostOptions {
  readonly sql: SqlDatabase;
  /** Milliseconds since the epoch. */
  readonly epochMs: () => number;
  /** Asks to be woken at a time; null: not any more. */
  readonly setAlarm: (atMs: number | null) => void;
}

export class PrefixHost implements PrefixShardClient {
  readonly #options: PrefixHostOptions;
  #isReady = false;

  constructor(options: PrefixHostOptions) {
    this.#options = options;
  }

  reserve(digest: string, newId: string, prefixesMax: number): Promise<string | null> {
    const [known] = this.#exec('SELECT id FROM prefix WHERE digest = ?', digest);
    if (known !== undefined) {
      return Promise.resolve(String(known['id']));
    }
    const [row] = this.#exec('SELECT count(*) AS num FROM prefix');
    return Promise.resolve(Number(row?.['num']) < prefixesMax ? newId : null);
  }

  put(prefix: Prefix): Promise<void> {
    this.#exec(
      'INSERT OR REPLACE INTO prefix VALUES (?, ?, ?, ?, ?, ?, ?, ?)',
      prefix.id,
      prefix.digest,
      prefix.model,
      prefix.tokens.join(),
      prefix.cachedTokens,
      prefix.createdMs,
      prefix.expiresMs,
      prefix.promptCacheKey,
    );
    this.#arm();
    return Promise.resolve();
  }

  find(id: string): Promise<PrefixInfo | null> {
    const [row] = this.#exec('SELECT * FROM prefix WHERE id = ?', id);
    return Promise.resolve(row === undefined ? null : infoOf(toPrefix(row)));
  }

  list(): Promise<readonly PrefixInfo[]> {
    const rows = this.#exec('SELECT * FROM prefix ORDER BY created_ms, id');
    return Promise.resolve(rows.map((row) => infoOf(toPrefix(row))));
  }

  remove(id: string): Promise<RemovedPrefix | null> {
    const [row] = this.#exec('SELECT * FROM prefix WHERE id = ?', id);
    if (row === undefined) {
      return Promise.resolve(null);
    }
    this.#exec('DELETE FROM prefix WHERE id = ?', id);
    const prefix = toPrefix(row);
    const others = this.#exec('SELECT * FROM prefix WHERE model = ?', prefix.model).map(toPrefix);
    return Promise.resolve({ prefix, others });
  }

  async forget(): Promise<number> {
    const num = (await this.list()).length;
    this.#isReady = false;
    await this.#options.sql.deleteAll();
    this.#options.setAlarm(null);
    return num;
  }

  /** What `setAlarm` asked for. The engine lets go of the pages by itself. */
  alarm(): void {
    this.#arm();
  }

  #arm(): void {
    const [row] = this.#exec('SELECT min(expires_ms) AS first FROM prefix');
    const first = row?.['first'];
    this.#options.setAlarm(typeof first === 'number' ? first : null);
  }

  /** Whatever is asked, what is over is gone. */
  #exec(statement: string, ...values: readonly (string | number | null)[]): readonly SqlRow[] {
    const { sql, epochMs } = this.#options;
    if (!this.#isReady) {
      PREFIX_SCHEMA.forEach((create) => sql.exec(create));
      this.#isReady = true;
    }
    sql.exec('DELETE FROM prefix WHERE expires_ms <= ?', epochMs());
    return sql.exec(statement, ...values);
  }
}

function toPrefix(row: SqlRow): Prefix {
  const tokens = String(row['tokens']).split(',').map(Number);
  return {
    id: String(row['id']),
    digest: String(row['digest']),
    model: String(row['model']),
    tokens,
    numTokens: tokens.length,
    cachedTokens: Number(row['cached_tokens']),
    createdMs: Number(row['created_ms']),
    expiresMs: Number(row['expires_ms']),
    promptCacheKey: row['prompt_cache_key'] === null ? null : String(row['prompt_cache_key']),
  };
}

function infoOf({ tokens: _tokens, digest: _digest, ...info }: Prefix): PrefixInfo {
  return info;
}
