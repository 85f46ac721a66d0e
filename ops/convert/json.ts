import { ConvertError } from './convert-error.ts';

/** A JSON file that came with a model: an object with anything in it. */
export type JsonObject = Readonly<Record<string, unknown>>;

/** @param what what the text is, for the message. @throws ConvertError `malformed` */
export function parseJsonObject(text: string, what: string): JsonObject {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw new ConvertError('malformed', `${what} is not valid JSON: ${String(cause)}`, { cause });
  }
  if (!isObject(value)) {
    throw new ConvertError('malformed', `${what} should hold a JSON object`);
  }
  return value;
}

export function isObject(value: unknown): value is JsonObject {
  return value !== null && typeof value === 'object' && !Array.isArray(value);
}

/** Longest piece of a foreign value that a message repeats. */
const SHOWN_LENGTH_MAX = 80;

/** A value for a message: short, and never deeper than one level, since a stranger's nesting can overflow the stack. */
export function shown(value: unknown): string {
  if (Array.isArray(value)) {
    return 'an array';
  }
  if (value === undefined) {
    return 'missing';
  }
  return isObject(value) ? 'an object' : JSON.stringify(value).slice(0, SHOWN_LENGTH_MAX);
}
