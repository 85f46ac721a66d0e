/**
 * Readers of single fields of a manifest. Each takes a value of unknown type and the path to it, and gives a value of the
 * named type or throws a `ManifestError` that names the path.
 */

/** Longest name or text in a manifest, in UTF-16 units. */
const NAME_LENGTH_MAX = 256;
const SHA256_PATTERN = /^[0-9a-f]{64}$/;
const FILE_NAME_PATTERN = /^[a-z0-9][a-z0-9._-]{0,63}$/;

/** `version`: written by another version of the converter, convert again. `invalid`: damaged or not a manifest. */
export type ManifestErrorCode = 'version' | 'invalid';

export class ManifestError extends Error {
  readonly code: ManifestErrorCode;

  constructor(code: ManifestErrorCode, message: string) {
    super(message);
    this.name = 'ManifestError';
    this.code = code;
  }
}

export function invalid(path: string, problem: string): ManifestError {
  return new ManifestError('invalid', `manifest: ${path} ${problem}`);
}

/** A plain object with exactly these keys. */
export function record(json: unknown, path: string, keys: readonly string[]): Record<string, unknown> {
  if (json === null || typeof json !== 'object' || Array.isArray(json)) {
    throw invalid(path, 'should be an object');
  }
  for (const key of keys) {
    if (!Object.hasOwn(json, key)) {
      throw invalid(path, `misses ${key}`);
    }
  }
  for (const key of Object.keys(json)) {
    if (!keys.includes(key)) {
      throw invalid(path, `has the unknown field ${JSON.stringify(key.slice(0, NAME_LENGTH_MAX))}`);
    }
  }
  return json as Record<string, unknown>;
}

/** An array of at most `lengthMax` elements. */
export function array(json: unknown, path: string, lengthMax: number): unknown[] {
  if (!Array.isArray(json)) {
    throw invalid(path, 'should be an array');
  }
  if (json.length > lengthMax) {
    throw invalid(path, `has ${json.length} elements, at most ${lengthMax} are expected`);
  }
  return json;
}

/** An integer within the bounds, both included. */
export function integer(json: unknown, path: string, bounds: { min: number; max: number; multiple?: number }): number {
  const { min, max, multiple = 1 } = bounds;
  if (typeof json !== 'number' || !Number.isInteger(json) || json < min || json > max || json % multiple !== 0) {
    throw invalid(
      path,
      `should be an integer from ${min} to ${max}${multiple > 1 ? `, a multiple of ${multiple}` : ''}`,
    );
  }
  return json;
}

/** A finite number above 0, `max` included. */
export function positive(json: unknown, path: string, max: number): number {
  if (typeof json !== 'number' || !(json > 0 && json <= max)) {
    throw invalid(path, `should be a number above 0 and at most ${max}`);
  }
  return json;
}

export function boolean(json: unknown, path: string): boolean {
  if (typeof json !== 'boolean') {
    throw invalid(path, 'should be true or false');
  }
  return json;
}

/** A text that is not empty and not longer than `NAME_LENGTH_MAX`. */
export function text(json: unknown, path: string): string {
  if (typeof json !== 'string' || json.length === 0 || json.length > NAME_LENGTH_MAX) {
    throw invalid(path, `should be a text of 1 to ${NAME_LENGTH_MAX} characters`);
  }
  return json;
}

/** A plain file name: it becomes part of an asset's path. */
export function fileName(json: unknown, path: string): string {
  if (typeof json !== 'string' || !FILE_NAME_PATTERN.test(json)) {
    throw invalid(path, 'should be a plain lower-case file name');
  }
  return json;
}

/** Lower-case hex. */
export function sha256(json: unknown, path: string): string {
  if (typeof json !== 'string' || !SHA256_PATTERN.test(json)) {
    throw invalid(path, 'should be 64 lower-case hex digits');
  }
  return json;
}
