/**
 * Pages in the storage of a stage's Durable Object, which is SQLite. `docs/storage-schema.md` describes the rows.
 *
 * All that happens while a ring works is written with `allowUnconfirmed`: such a write is done at once, can be read at once,
 * and does not close the output gate, so no frame waits until it is durable. A statement through `sql` always closes the
 * gate, and so does the synchronous `kv.put`; reading is free. Losing the last writes in a crash costs computing them again.
 */
import { KV_FORMAT_VERSION } from '../../../wasm/host/kv-format.ts';
import type { PageKey } from '../../kv/page-key.ts';
import type { Clock } from '../clock.ts';
import { PageIndex, pageName, type PageIndexLimits } from '../page-index.ts';
import type { PageStore } from '../page-store.ts';
import { releaseBytes } from '../release-bytes.ts';
import {
  decodeEntry,
  encodeEntry,
  fillRecord,
  INDEX_PREFIX,
  indexKey,
  numPartsOf,
  PART_BYTES_MAX,
  partKeys,
  PARTS_MAX,
  readRecord,
  recordBytes,
  type StoredPageEntry,
} from './page-rows.ts';

export interface SqlitePageStoreOptions {
  readonly storage: PageStorage;
  readonly clock: Clock;
  /** What pages are worth depends on it: those of other weights or layers are of no use. */
  readonly scope: { readonly manifestSha256: string; readonly layerStart: number; readonly layerEnd: number };
  readonly limits?: Partial<PageIndexLimits>;
}

/** The part of an object's storage that is used, in its own words, since a simulation has no types of the runtime. */
export interface PageStorage {
  put(entries: Record<string, unknown>, options: typeof UNCONFIRMED): Promise<void>;
  delete(keys: string[], options: typeof UNCONFIRMED): Promise<unknown>;
  setAlarm(atMs: number, options: typeof UNCONFIRMED): Promise<void>;
  readonly kv: {
    get(key: string): unknown;
    list(options: { readonly prefix: string }): Iterable<[key: string, value: unknown]>;
    put(key: string, value: unknown): void;
    delete(key: string): unknown;
  };
}

export const PAGE_STORE_LIMITS: PageIndexLimits = {
  /** An object may have 10 GB. At a fifth of a dollar for a gigabyte and month this is ten cents a stage. */
  bytesMax: 512 * 2 ** 20,
  /** 65,536 tokens. The index takes 1.7 MiB of heap then. */
  pagesMax: 4096,
  /** A conversation that comes back within the week goes on where it was. */
  ttlMs: 7 * 24 * 60 * 60_000,
};

/** A use is written down when the last one that was is so long ago; until then only memory knows. */
export const USE_GRANULARITY_MS = 60 * 60_000;
/** Pages that one alarm removes: some ten milliseconds of work. */
export const PRUNE_PAGES_MAX = 128;
/** Between two alarms while there is more to remove. */
export const PRUNE_PAUSE_MS = 1000;
/** Pages are pruned no more often than this, so that an idle object is not woken for each of them. */
export const PRUNE_INTERVAL_MS = 60 * 60_000;
/** `put` and `delete` take so many keys in one call. */
const KEYS_PER_CALL_MAX = 128;

const UNCONFIRMED = { allowUnconfirmed: true } as const;

/** What storage was found to hold. */
interface Loaded {
  readonly index: PageIndex<StoredPageEntry>;
  /** Scoped names of pages of other weights, layers or formats, or whose row is damaged, and how many parts they have. */
  readonly foreign: Map<string, number>;
}

export class SqlitePageStore implements PageStore {
  readonly #storage: PageStorage;
  readonly #clock: Clock;
  readonly #limits: PageIndexLimits;
  readonly #scope: string;
  #loaded: Loaded | null = null;
  /** Whether this object has set the alarm since it woke. */
  #isAlarmSet = false;
  /** Kept from write to write: a copy for each would be garbage that is collected late. */
  #record: Uint8Array<ArrayBuffer> | null = null;

  constructor(options: SqlitePageStoreOptions) {
    const { manifestSha256, layerStart, layerEnd } = options.scope;
    this.#storage = options.storage;
    this.#clock = options.clock;
    this.#limits = { ...PAGE_STORE_LIMITS, ...options.limits };
    this.#scope = `${KV_FORMAT_VERSION}-${manifestSha256}-${layerStart}-${layerEnd}`;
  }

  has(key: PageKey): boolean {
    return this.#load().index.find(pageName(key)) !== null;
  }

  read(key: PageKey, into: Uint8Array): boolean {
    const { index } = this.#load();
    const name = pageName(key);
    const entry = index.find(name);
    if (entry === null || entry.numBytes !== into.byteLength) {
      return false;
    }
    const scopedName = this.#scoped(name);
    const parts = partKeys(scopedName, numPartsOf(entry.numBytes)).map((partKey) => this.#storage.kv.get(partKey));
    const isWhole = readRecord(scopedName, parts, into);
    for (const part of parts) {
      if (part instanceof Uint8Array) {
        releaseBytes(part as Uint8Array<ArrayBuffer>);
      }
    }
    if (!isWhole) {
      this.#drop([name]);
      return false;
    }
    index.touch(name, entry);
    if (entry.usedMs - entry.storedUsedMs >= USE_GRANULARITY_MS) {
      entry.storedUsedMs = entry.usedMs;
      attempt(() => this.#storage.put({ [indexKey(scopedName)]: encodeEntry(entry) }, UNCONFIRMED));
    }
    return true;
  }

  write(key: PageKey, bytes: Uint8Array): void {
    const { index } = this.#load();
    const name = pageName(key);
    const pinnedUntilMs = index.find(name)?.pinnedUntilMs ?? 0;
    this.#drop([name]);
    const victims = index.victimsFor(bytes.byteLength);
    if (victims === null || numPartsOf(bytes.byteLength) > PARTS_MAX) {
      return;
    }
    this.#drop(victims);
    const usedMs = this.#clock.nowMs();
    const numBytes = bytes.byteLength;
    const entry = { numBytes, usedMs, pinnedUntilMs, storedUsedMs: usedMs };
    index.add(name, entry);
    attempt(
      () => this.#storage.put(this.#rowsOf(name, entry, bytes), UNCONFIRMED),
      () => {
        // No space, or a storage that is gone: the page is not there.
        if (index.find(name) === entry) {
          index.remove(name);
        }
      },
    );
    this.#setAlarm(false);
  }

  /** This and the deletions are asked for by RPC: the output gate holds the answer until they are durable. */
  pin(keys: readonly PageKey[], untilMs: number | null): void {
    const { index } = this.#load();
    for (const name of keys.map(pageName)) {
      const entry = index.find(name);
      if (entry !== null) {
        entry.pinnedUntilMs = untilMs ?? 0;
        this.#storage.kv.put(indexKey(this.#scoped(name)), encodeEntry(entry));
      }
    }
  }

  delete(keys: readonly PageKey[]): void {
    const { index } = this.#load();
    for (const name of keys.map(pageName)) {
      const entry = index.remove(name);
      if (entry !== null) {
        this.#deleteConfirmed(this.#scoped(name), numPartsOf(entry.numBytes));
      }
    }
  }

  deleteTenant(tenant: string, pagesMax: number): boolean {
    const { index, foreign } = this.#load();
    const names = index.ofTenant(tenant);
    for (const name of names.slice(0, pagesMax)) {
      const entry = index.remove(name) as StoredPageEntry;
      this.#deleteConfirmed(this.#scoped(name), numPartsOf(entry.numBytes));
    }
    const strangers = [...foreign].filter(([scopedName]) => tenantOf(scopedName) === tenant);
    for (const [scopedName, numParts] of strangers.slice(0, Math.max(0, pagesMax - names.length))) {
      this.#deleteConfirmed(scopedName, numParts);
      foreign.delete(scopedName);
    }
    return names.length + strangers.length > pagesMax;
  }

  /** The object's alarm: removes some of what nobody will read, and sets the next alarm if there will be more. */
  prune(): void {
    const { index, foreign } = this.#load();
    const expired = index.expired(PRUNE_PAGES_MAX);
    this.#drop(expired);
    const strangers = [...foreign].slice(0, PRUNE_PAGES_MAX - expired.length);
    for (const [scopedName, numParts] of strangers) {
      foreign.delete(scopedName);
      this.#deleteRows([indexKey(scopedName), ...partKeys(scopedName, numParts)]);
    }
    this.#isAlarmSet = false;
    this.#setAlarm(foreign.size > 0 || expired.length === PRUNE_PAGES_MAX);
  }

  /** Set once in the life of the object, when it has something; then each alarm sets the next. */
  #setAlarm(isMoreToPrune: boolean): void {
    const { index } = this.#load();
    const nowMs = this.#clock.nowMs();
    const nextMs = isMoreToPrune ? nowMs : index.nextExpiryMs();
    if (nextMs === null || this.#isAlarmSet) {
      return;
    }
    this.#isAlarmSet = true;
    const alarmMs = Math.max(nextMs, nowMs + (isMoreToPrune ? PRUNE_PAUSE_MS : PRUNE_INTERVAL_MS));
    attempt(
      () => this.#storage.setAlarm(alarmMs, UNCONFIRMED),
      () => {
        this.#isAlarmSet = false;
      },
    );
  }

  #load(): Loaded {
    if (this.#loaded !== null) {
      return this.#loaded;
    }
    const found: [name: string, entry: StoredPageEntry][] = [];
    const foreign = new Map<string, number>();
    for (const [key, row] of this.#storage.kv.list({ prefix: INDEX_PREFIX })) {
      const scopedName = key.slice(INDEX_PREFIX.length);
      const [scope, tenant = '', hash = ''] = scopedName.split('/');
      const entry = decodeEntry(row);
      if (scope === this.#scope && entry !== null) {
        found.push([pageName({ tenant, hash }), entry]);
      } else {
        foreign.set(scopedName, entry === null ? 1 : numPartsOf(entry.numBytes));
      }
    }
    const index = new PageIndex<StoredPageEntry>(this.#clock, this.#limits);
    found.sort(([, left], [, right]) => left.usedMs - right.usedMs);
    for (const [name, entry] of found) {
      index.add(name, entry);
    }
    this.#loaded = { index, foreign };
    if (foreign.size > 0) {
      this.#setAlarm(true);
    }
    return this.#loaded;
  }

  #scoped(name: string): string {
    return `${this.#scope}/${name}`;
  }

  /** All rows of a page, for one call: it is there whole or not at all. */
  #rowsOf(name: string, entry: StoredPageEntry, bytes: Uint8Array): Record<string, unknown> {
    const scopedName = this.#scoped(name);
    const length = recordBytes(bytes.byteLength);
    // Storage encodes the whole buffer behind a view, so each part needs a buffer of its own size.
    if (this.#record?.byteLength !== length) {
      this.#record = new Uint8Array(length);
    }
    const record = this.#record;
    fillRecord(record, scopedName, bytes);
    const keys = partKeys(scopedName, numPartsOf(entry.numBytes));
    const parts = keys.map((_, part) =>
      keys.length === 1 ? record : record.slice(part * PART_BYTES_MAX, (part + 1) * PART_BYTES_MAX),
    );
    return {
      ...Object.fromEntries(keys.map((key, part) => [key, parts[part]])),
      [indexKey(scopedName)]: encodeEntry(entry),
    };
  }

  /** Removes pages that are in the index. */
  #drop(names: readonly string[]): void {
    const { index } = this.#load();
    for (const name of names) {
      const entry = index.remove(name);
      if (entry !== null) {
        const numParts = numPartsOf(entry.numBytes);
        const scopedName = this.#scoped(name);
        this.#deleteRows([indexKey(scopedName), ...partKeys(scopedName, numParts)]);
      }
    }
  }

  #deleteRows(keys: string[]): void {
    for (let start = 0; start < keys.length; start += KEYS_PER_CALL_MAX) {
      attempt(() => this.#storage.delete(keys.slice(start, start + KEYS_PER_CALL_MAX), UNCONFIRMED));
    }
  }

  #deleteConfirmed(scopedName: string, numParts: number): void {
    for (const key of [indexKey(scopedName), ...partKeys(scopedName, numParts)]) {
      this.#storage.kv.delete(key);
    }
  }
}

/** A store that cannot write is a store that has nothing: nobody is told but `onFailure`. */
function attempt(operation: () => Promise<unknown>, onFailure: () => void = () => {}): void {
  // An async function catches what is thrown at once, too.
  void (async (): Promise<void> => {
    try {
      await operation();
    } catch {
      onFailure();
    }
  })();
}

function tenantOf(scopedName: string): string {
  return scopedName.split('/')[1] ?? '';
}
