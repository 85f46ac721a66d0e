import { ConvertError } from '../convert-error.ts';

/** Values as the GGUF reader gives them: 64-bit integers are bigints. */
export type MetadataValue = string | number | bigint | boolean | readonly MetadataValue[];

/**
 * Typed access to the metadata of a GGUF file. Each getter throws ConvertError `missing-metadata` or `invalid-metadata`,
 * naming the key; the `optional…` ones give null for a missing key.
 */
export class GgufMetadata {
  readonly #entries: ReadonlyMap<string, MetadataValue>;

  constructor(entries: ReadonlyMap<string, MetadataValue>) {
    this.#entries = entries;
  }

  keys(): Iterable<string> {
    return this.#entries.keys();
  }

  string(key: string): string {
    return this.optionalString(key) ?? missing(key);
  }

  optionalString(key: string): string | null {
    const value = this.#entries.get(key);
    return value === undefined ? null : typeof value === 'string' ? value : invalid(key, 'a string', value);
  }

  /** A non-negative integer of any width. */
  integer(key: string): number {
    return this.optionalInteger(key) ?? missing(key);
  }

  optionalInteger(key: string): number | null {
    const value = this.#entries.get(key);
    if (value === undefined) {
      return null;
    }
    const number = typeof value === 'bigint' ? Number(value) : value;
    return typeof number === 'number' && Number.isSafeInteger(number) && number >= 0
      ? number
      : invalid(key, 'a non-negative integer', value);
  }

  number(key: string): number {
    return this.optionalNumber(key) ?? missing(key);
  }

  optionalNumber(key: string): number | null {
    const value = this.#entries.get(key);
    return value === undefined
      ? null
      : typeof value === 'number' && Number.isFinite(value)
        ? value
        : invalid(key, 'a finite number', value);
  }

  optionalBoolean(key: string): boolean | null {
    const value = this.#entries.get(key);
    return value === undefined ? null : typeof value === 'boolean' ? value : invalid(key, 'a boolean', value);
  }

  strings(key: string): readonly string[] {
    const value = this.#entries.get(key) ?? missing(key);
    return Array.isArray(value) && value.every((element) => typeof element === 'string')
      ? value
      : invalid(key, 'an array of strings', value);
  }

  integers(key: string): readonly number[] {
    const value = this.#entries.get(key) ?? missing(key);
    return Array.isArray(value) && value.every((element) => Number.isSafeInteger(element))
      ? (value as readonly number[])
      : invalid(key, 'an array of integers', value);
  }
}

function missing(key: string): never {
  throw new ConvertError('missing-metadata', `the file has no metadata entry ${key}; convert or fetch the model anew`);
}

function invalid(key: string, expected: string, value: MetadataValue): never {
  const found = Array.isArray(value) ? `an array of ${value.length}` : `${typeof value} ${String(value).slice(0, 40)}`;
  throw new ConvertError('invalid-metadata', `the metadata entry ${key} should be ${expected}, but is ${found}`);
}
