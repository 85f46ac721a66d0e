/**
 * CRC-32 of ISO 3309 (the one of zip and PNG): polynomial 0xedb88320, reflected. Eight bytes at a time, after Kounavis and
 * Berry, "A Systematic Approach to Building High Performance Software-Based CRC Generators" (2005): "slicing-by-8".
 */

const POLYNOMIAL = 0xedb88320;
const SLICE_BYTES = 8;
const WORD_BYTES = 4;
const TABLE_LENGTH = 256;

/** Entry `[k * 256 + byte]`: the remainder of a byte that k zero bytes follow. */
const TABLES = createTables();

function createTables(): Uint32Array {
  const tables = new Uint32Array(SLICE_BYTES * TABLE_LENGTH);
  for (let byte = 0; byte < TABLE_LENGTH; byte++) {
    let remainder = byte;
    for (let bit = 0; bit < 8; bit++) {
      remainder = (remainder & 1) === 0 ? remainder >>> 1 : (remainder >>> 1) ^ POLYNOMIAL;
    }
    tables[byte] = remainder;
  }
  for (let entry = TABLE_LENGTH; entry < tables.length; entry++) {
    const previous = tables[entry - TABLE_LENGTH] as number;
    tables[entry] = (tables[previous & 0xff] as number) ^ (previous >>> 8);
  }
  return tables;
}

/** @param checksum of the bytes before these, for a checksum over several pieces. */
export function crc32(bytes: Uint8Array, checksum = 0): number {
  // Words can be read where they are aligned: the few bytes before and after them go one by one.
  const numBefore = Math.min(bytes.length, -bytes.byteOffset & (WORD_BYTES - 1));
  const numSlices = Math.floor((bytes.length - numBefore) / SLICE_BYTES);
  let remainder = addBytes(~checksum, bytes, 0, numBefore);
  if (numSlices > 0) {
    remainder = addSlices(remainder, bytes, numBefore, numSlices);
  }
  return ~addBytes(remainder, bytes, numBefore + numSlices * SLICE_BYTES, bytes.length) >>> 0;
}

function addBytes(start: number, bytes: Uint8Array, from: number, to: number): number {
  let remainder = start;
  for (let i = from; i < to; i++) {
    remainder = (TABLES[(remainder ^ (bytes[i] as number)) & 0xff] as number) ^ (remainder >>> 8);
  }
  return remainder;
}

/** The words are little-endian, as the machines are that Workers run on. */
function addSlices(start: number, bytes: Uint8Array, from: number, numSlices: number): number {
  const words = new Uint32Array(bytes.buffer, bytes.byteOffset + from, 2 * numSlices);
  let remainder = start;
  for (let i = 0; i < words.length; i += 2) {
    const low = remainder ^ (words[i] as number);
    const high = words[i + 1] as number;
    remainder =
      (TABLES[0x700 + (low & 0xff)] as number) ^
      (TABLES[0x600 + ((low >>> 8) & 0xff)] as number) ^
      (TABLES[0x500 + ((low >>> 16) & 0xff)] as number) ^
      (TABLES[0x400 + (low >>> 24)] as number) ^
      (TABLES[0x300 + (high & 0xff)] as number) ^
      (TABLES[0x200 + ((high >>> 8) & 0xff)] as number) ^
      (TABLES[0x100 + ((high >>> 16) & 0xff)] as number) ^
      (TABLES[high >>> 24] as number);
  }
  return remainder;
}
