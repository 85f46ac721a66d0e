/** Where a shard keeps pages beyond the life of its isolate: SQLite of the object when deployed, memory in a simulation. */
import type { PageKey } from '../kv/page-key.ts';

/**
 * Each stage has one, with its own layers' part of every page. The store knows the format and the manifest that pages were
 * written with, checks what it reads, and keeps itself within a budget by age of last use.
 */
export interface PageStore {
  /** Whether `read` would find the page, as far as one can tell without reading it. */
  has(key: PageKey): boolean;
  /** @returns false, with `into` in any state, when the page is missing, damaged or of another format. */
  read(key: PageKey, into: Uint8Array): boolean;
  /** Takes a copy; may lose it, never throws. Holds nobody up. */
  write(key: PageKey, bytes: Uint8Array): void;
  /** Keeps pages until then, whatever the budget says about the others; null lets go of them. */
  pin(keys: readonly PageKey[], untilMs: number | null): void;
  delete(keys: readonly PageKey[]): void;
  /** Deletes at most so many pages of a tenant. @returns whether there are more */
  deleteTenant(tenant: string, pagesMax: number): boolean;
}
