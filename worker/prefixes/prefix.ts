/** Prefixes that a tenant has warmed and pinned. What the gateway and the object that keeps them say to each other. */

export interface PrefixInfo {
  readonly id: string;
  /** Id of the catalogue's entry. */
  readonly model: string;
  readonly numTokens: number;
  /** Tokens that were computed before, when it was warmed last. */
  readonly cachedTokens: number;
  /** Milliseconds since the epoch. */
  readonly createdMs: number;
  readonly expiresMs: number;
  /** What steers requests to the replica that has it; null: its own beginning does. */
  readonly promptCacheKey: string | null;
}

export interface Prefix extends PrefixInfo {
  readonly tokens: readonly number[];
  /** Of model, tokens and key: the same prefix again is the same one. */
  readonly digest: string;
}

export interface RemovedPrefix {
  readonly prefix: Prefix;
  /** Those that are left of its model. */
  readonly others: readonly Prefix[];
}

/** The object with a tenant's prefixes, as the gateway sees it. */
export interface PrefixShardClient {
  /** The id that a prefix has or would get; null when there is no room for another one. */
  reserve(digest: string, newId: string, prefixesMax: number): Promise<string | null>;
  /** Adds a prefix, or replaces the one of its id. */
  put(prefix: Prefix): Promise<void>;
  find(id: string): Promise<PrefixInfo | null>;
  /** The oldest first. */
  list(): Promise<readonly PrefixInfo[]>;
  remove(id: string): Promise<RemovedPrefix | null>;
  /** @returns how many there were. */
  forget(): Promise<number>;
}
