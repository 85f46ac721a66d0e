/**
 * Walks the header of a GGUF file without building any value and holds every length against a limit and against the bytes
 * that are there. It runs before the GGUF reader proper, which treats bytes past the end of a file as zeros, cuts strings
 * silently at the border of its read buffer, accepts repeated keys, and allows far larger counts than a model has.
 * Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
 */
import { ConvertError } from '../convert-error.ts';
import { SOURCE_LIMITS } from '../limits.ts';

export interface ByteRange {
  readonly offset: number;
  readonly bytes: number;
}

export interface HeaderWalk {
  /** Offset behind the tensor table. */
  readonly endOffset: number;
  readonly numTensors: number;
  /** For each entry that is a string or an array of strings: where its (last) string lies. */
  readonly lastStrings: ReadonlyMap<string, ByteRange>;
}

const GGUF_VERSIONS = [2, 3];
const STRING_TYPE = 8;
const ARRAY_TYPE = 9;
/** Bytes of the fixed-size value types, by ggml's number: u8 i8 u16 i16 u32 i32 f32 bool, string, array, u64 i64 f64. */
const VALUE_BYTES = [1, 1, 2, 2, 4, 4, 4, 1, null, null, 8, 8, 8] as const;

/** Thrown when the given bytes end inside the header; the caller may try again with more of the file. */
export class HeaderIncomplete extends Error {}

/**
 * @param prefix the beginning of the file
 * @throws ConvertError `malformed`, `limit-exceeded`, `unknown-format`
 * @throws HeaderIncomplete when the header is longer than `prefix`
 */
export function walkGgufHeader(prefix: Uint8Array): HeaderWalk {
  const cursor = new Cursor(prefix);
  if (new TextDecoder().decode(prefix.subarray(0, 4)) !== 'GGUF') {
    throw new ConvertError('unknown-format', 'the file does not begin with "GGUF"; give a GGUF or safetensors model');
  }
  cursor.skip(4);
  const version = cursor.u32();
  if (!GGUF_VERSIONS.includes(version)) {
    throw new ConvertError(
      'unknown-format',
      `GGUF version ${version} is not supported (little-endian versions ${GGUF_VERSIONS.join(' and ')} are); write the file anew with a current llama.cpp`,
    );
  }
  const numTensors = cursor.count('tensors', SOURCE_LIMITS.numTensorsMax);
  const numMetadata = cursor.count('metadata entries', SOURCE_LIMITS.numMetadataMax);
  const lastStrings = walkMetadata(cursor, numMetadata);
  walkTensorTable(cursor, numTensors);
  return { endOffset: cursor.offset, numTensors, lastStrings };
}

function walkMetadata(cursor: Cursor, numMetadata: number): Map<string, ByteRange> {
  const keys = new Set<string>();
  const lastStrings = new Map<string, ByteRange>();
  const budget = { elements: SOURCE_LIMITS.numArrayElementsMax };
  for (let i = 0; i < numMetadata; i++) {
    const key = cursor.name('metadata key');
    if (keys.has(key)) {
      throw new ConvertError('malformed', `the metadata key ${JSON.stringify(key)} appears twice`);
    }
    keys.add(key);
    const lastString = walkValue(cursor, cursor.u32(), key, budget);
    if (lastString !== null) {
      lastStrings.set(key, lastString);
    }
  }
  return lastStrings;
}

/** @returns where the last string of the value lies, or null when it has none. */
function walkValue(cursor: Cursor, type: number, key: string, budget: { elements: number }): ByteRange | null {
  if (type === STRING_TYPE) {
    return cursor.string(key, SOURCE_LIMITS.stringBytesMax);
  }
  if (type !== ARRAY_TYPE) {
    cursor.skip(valueBytes(type, key));
    return null;
  }
  const elementType = cursor.u32();
  const length = cursor.count(`elements of ${key}`, SOURCE_LIMITS.arrayLengthMax);
  budget.elements -= length;
  if (budget.elements < 0) {
    throw new ConvertError(
      'limit-exceeded',
      `the metadata arrays have more than ${SOURCE_LIMITS.numArrayElementsMax} elements together`,
    );
  }
  if (elementType !== STRING_TYPE) {
    cursor.skip(length * valueBytes(elementType, key));
    return null;
  }
  let last: ByteRange | null = null;
  for (let i = 0; i < length; i++) {
    last = cursor.string(key, SOURCE_LIMITS.stringBytesMax);
  }
  return last;
}

/** Arrays of arrays have no fixed size either, and no model has any: they are refused with the unknown types. */
function valueBytes(type: number, key: string): number {
  const bytes = VALUE_BYTES[type];
  if (bytes === undefined || bytes === null) {
    throw new ConvertError('malformed', `the metadata entry ${JSON.stringify(key)} has the unknown value type ${type}`);
  }
  return bytes;
}

function walkTensorTable(cursor: Cursor, numTensors: number): void {
  const names = new Set<string>();
  for (let i = 0; i < numTensors; i++) {
    const name = cursor.name('tensor name');
    if (names.has(name)) {
      throw new ConvertError('malformed', `the tensor ${JSON.stringify(name)} appears twice`);
    }
    names.add(name);
    const numDimensions = cursor.u32();
    if (numDimensions < 1 || numDimensions > SOURCE_LIMITS.numDimensionsMax) {
      throw new ConvertError('malformed', `the tensor ${JSON.stringify(name)} has ${numDimensions} dimensions`);
    }
    // Dimensions, tensor type, data offset: checked by value once the reader has them.
    cursor.skip(numDimensions * 8 + 4 + 8);
  }
}

/** Reads little-endian fields; never moves past the end. */
class Cursor {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  #offset = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  get offset(): number {
    return this.#offset;
  }

  skip(bytes: number): void {
    if (bytes > this.#bytes.length - this.#offset) {
      throw new HeaderIncomplete();
    }
    this.#offset += bytes;
  }

  u32(): number {
    const at = this.#offset;
    this.skip(4);
    return this.#view.getUint32(at, true);
  }

  /** A u64 that counts something. */
  count(what: string, max: number): number {
    const at = this.#offset;
    this.skip(8);
    const value = this.#view.getBigUint64(at, true);
    if (value > BigInt(max)) {
      throw new ConvertError('limit-exceeded', `the file claims ${value} ${what}; at most ${max} are read`);
    }
    return Number(value);
  }

  string(what: string, bytesMax: number): ByteRange {
    const bytes = this.count(`bytes in a string of ${what}`, bytesMax);
    const offset = this.#offset;
    this.skip(bytes);
    return { offset, bytes };
  }

  name(what: string): string {
    const { offset, bytes } = this.string(what, SOURCE_LIMITS.nameBytesMax);
    return new TextDecoder().decode(this.#bytes.subarray(offset, offset + bytes));
  }
}
