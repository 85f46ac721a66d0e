/** From zod's view of a body to OpenAI's: the first mistake, its field written `messages[0].content`, status 400. */
import * as z from 'zod';
import { badRequest, type ApiError } from './errors.ts';
import { issueInWords, MISSING, unionInWords } from './issue-words.ts';

/** Text that can be written as UTF-8. A lone half of a surrogate pair would silently become another character. */
export const wellFormedText = z.string().refine((text) => text.isWellFormed(), {
  error: 'the text holds a lone surrogate (half of a UTF-16 pair), which is no character',
});

/** Marks an issue of a list's item that was a field which does not exist. */
const UNKNOWN_KEY = 'isUnknownKey';

/**
 * A list of at most `lengthMax` items. Unlike `z.array` it stops at the first mistake: a body of a mebibyte can hold
 * half a million wrong items, and half a million issues would not fit an isolate.
 */
export function boundedList<T>(item: z.ZodType<T>, lengthMin: number, lengthMax: number): z.ZodType<T[]> {
  return z.any().transform((value: unknown, context): T[] => {
    if (!Array.isArray(value)) {
      context.addIssue({ code: 'custom', message: value === undefined ? MISSING : 'expected a list' });
      return z.NEVER;
    }
    if (value.length < lengthMin || value.length > lengthMax) {
      context.addIssue({
        code: 'custom',
        message: `expected ${lengthMin} to ${lengthMax} items, got ${value.length}`,
      });
      return z.NEVER;
    }
    const items: T[] = [];
    for (const [index, entry] of value.entries()) {
      const parsed = item.safeParse(entry);
      const issue = parsed.success ? undefined : firstIssue(parsed.error.issues);
      if (issue !== undefined) {
        const params = { [UNKNOWN_KEY]: issue.isUnknownKey };
        context.addIssue({ code: 'custom', message: issue.message, path: [index, ...issue.path], params });
        return z.NEVER;
      }
      items.push(parsed.data as T);
    }
    return items;
  });
}

/** A schema for each object of limits, made once: making one takes longer than checking a body with it. */
export function oncePerLimits<L extends object, S>(make: (limits: L) => S): (limits: L) => S {
  const schemas = new WeakMap<L, S>();
  return (limits) => {
    const known = schemas.get(limits);
    if (known !== undefined) {
      return known;
    }
    const schema = make(limits);
    schemas.set(limits, schema);
    return schema;
  };
}

/** @throws ApiError for the first mistake. */
export function parseOrRefuse<T>(schema: z.ZodType<T>, body: unknown): T {
  const parsed = schema.safeParse(body);
  if (parsed.success) {
    return parsed.data;
  }
  throw toApiError(firstIssue(parsed.error.issues));
}

interface FlatIssue {
  readonly path: readonly PropertyKey[];
  readonly message: string;
  readonly isUnknownKey: boolean;
}

/** Of a union's branches the one that got furthest is what the client meant. */
function firstIssue(issues: readonly z.core.$ZodIssue[]): FlatIssue {
  const [first] = issues;
  // A field that is not known says more than one that is missing: it may be the same, with another name.
  const issue =
    first !== undefined && issueInWords(first) === MISSING
      ? (issues.find(({ code }) => code === 'unrecognized_keys') ?? first)
      : first;
  if (issue === undefined) {
    return { path: [], message: 'it is not valid', isUnknownKey: false };
  }
  if (issue.code === 'invalid_union') {
    const message = unionInWords(issue.errors.flatMap((branch) => branch.slice(0, 1)));
    let deepest: FlatIssue = { path: [], message, isUnknownKey: false };
    for (const branch of issue.errors) {
      const flat = firstIssue(branch);
      deepest = flat.path.length > deepest.path.length ? flat : deepest;
    }
    return { ...deepest, path: [...issue.path, ...deepest.path] };
  }
  if (issue.code === 'unrecognized_keys') {
    const path = [...issue.path, issue.keys[0] ?? ''];
    return { path, message: 'it is not known here; remove it', isUnknownKey: true };
  }
  const isUnknownKey = issue.code === 'custom' && issue.params?.[UNKNOWN_KEY] === true;
  return { path: issue.path, message: issueInWords(issue), isUnknownKey };
}

function toApiError({ path, message, isUnknownKey }: FlatIssue): ApiError {
  if (path.length === 0) {
    return badRequest(`The body must be a JSON object: ${message}.`, null);
  }
  const param = formatPath(path);
  return isUnknownKey
    ? badRequest(`Unknown parameter: '${param}'. Remove it: it would have no effect.`, param, 'unknown_parameter')
    : badRequest(`Invalid value for '${param}': ${message}.`, param, 'invalid_value');
}

/** Names of fields come from the client; a long one is cut. */
const FIELD_NAME_LENGTH_MAX = 64;

function formatPath(path: readonly PropertyKey[]): string {
  return path
    .map((key, index) => {
      if (typeof key === 'number') {
        return `[${key}]`;
      }
      return (index === 0 ? '' : '.') + String(key).slice(0, FIELD_NAME_LENGTH_MAX).toWellFormed();
    })
    .join('');
}
