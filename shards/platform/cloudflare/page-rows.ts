/** How a page is laid out in an object's storage: its row in the index, its bytes in parts, and the checksum over them. */
import { crc32 } from '../../link/crc32.ts';
import type { PageEntry } from '../page-index.ts';

/** Keys of the index begin with this; behind it follow the scope and the page's name. */
export const INDEX_PREFIX = 'page-index/';
const PART_PREFIX = 'page-part/';

/** A row of SQLite may have 2 MB, key and encoding included. */
export const PART_BYTES_MAX = 2 ** 20;

/** All rows of a page go in one call, which takes 128. */
export const PARTS_MAX = 127;

const CHECKSUM_BYTES = 4;
const textEncoder = new TextEncoder();

export interface StoredPageEntry extends PageEntry {
  /** What the row in storage says: a use is written down only now and then. */
  storedUsedMs: number;
}

/** @param scopedName scope and name of the page, with a slash between */
export function indexKey(scopedName: string): string {
  return INDEX_PREFIX + scopedName;
}

export function partKeys(scopedName: string, numParts: number): string[] {
  return Array.from({ length: numParts }, (_, part) => `${PART_PREFIX}${scopedName}/${part}`);
}

export function encodeEntry({ numBytes, usedMs, pinnedUntilMs }: StoredPageEntry): readonly number[] {
  return [numBytes, numPartsOf(numBytes), usedMs, pinnedUntilMs];
}

/** Null when the row is not one of this version. */
export function decodeEntry(row: unknown): StoredPageEntry | null {
  if (!Array.isArray(row) || row.length !== 4 || !row.every((field) => Number.isSafeInteger(field) && field >= 0)) {
    return null;
  }
  const [numBytes, numParts, usedMs, pinnedUntilMs] = row as [number, number, number, number];
  if (numParts !== numPartsOf(numBytes) || numParts > PARTS_MAX) {
    return null;
  }
  return { numBytes, usedMs, pinnedUntilMs, storedUsedMs: usedMs };
}

/** Fills `record`, which is `CHECKSUM_BYTES` longer than the page. */
export function fillRecord(record: Uint8Array, scopedName: string, bytes: Uint8Array): void {
  record.set(bytes, CHECKSUM_BYTES);
  new DataView(record.buffer, record.byteOffset).setUint32(0, checksumOf(scopedName, bytes), true);
}

export function recordBytes(pageBytes: number): number {
  return CHECKSUM_BYTES + pageBytes;
}

export function numPartsOf(pageBytes: number): number {
  return Math.ceil(recordBytes(pageBytes) / PART_BYTES_MAX);
}

/**
 * Joins the parts of a record into a page.
 * @returns false, with `into` in any state, when they are not what was written for this page
 */
export function readRecord(scopedName: string, parts: readonly unknown[], into: Uint8Array): boolean {
  let offset = 0;
  let checksum = 0;
  for (const [index, part] of parts.entries()) {
    const start = index === 0 ? CHECKSUM_BYTES : 0;
    if (
      !(part instanceof Uint8Array) ||
      part.byteLength < start ||
      offset + part.byteLength - start > into.byteLength
    ) {
      return false;
    }
    if (index === 0) {
      checksum = new DataView(part.buffer, part.byteOffset).getUint32(0, true);
    }
    into.set(part.subarray(start), offset);
    offset += part.byteLength - start;
  }
  return offset === into.byteLength && checksumOf(scopedName, into) === checksum;
}

/** Over the name, too: a page under the key of another one is no better than a damaged one. */
function checksumOf(scopedName: string, bytes: Uint8Array): number {
  return crc32(bytes, crc32(textEncoder.encode(scopedName)));
}
