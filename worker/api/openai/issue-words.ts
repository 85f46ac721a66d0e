/** What zod found, in words for the person who wrote the request. */
import type * as z from 'zod';

/** What a field must be, by zod's name for it. */
const KINDS: Readonly<Record<string, string>> = {
  string: 'a string',
  number: 'a number',
  int: 'a whole number',
  boolean: 'true or false',
  array: 'a list',
  object: 'an object',
  record: 'an object',
  null: 'null',
};

/** Of a field that is not there. */
export const MISSING = 'it is required';

/** @returns a part of a sentence, such as `expected a list, got a string` */
export function issueInWords(issue: z.core.$ZodIssue): string {
  switch (issue.code) {
    case 'invalid_type': {
      const received = /received (\S+)$/.exec(issue.message)?.[1];
      if (received === 'undefined') {
        return MISSING;
      }
      const expected = KINDS[issue.expected] ?? issue.expected;
      // A number that is not whole is a number, too.
      const isSaid = received !== undefined && !(issue.expected === 'int' && received === 'number');
      return `expected ${expected}${isSaid ? `, got ${KINDS[received] ?? received}` : ''}`;
    }
    case 'invalid_value':
      return `expected ${anyOf(issue.values.map((value) => (typeof value === 'string' ? `'${value}'` : String(value))))}`;
    case 'too_small':
      return issue.origin === 'string' && Number(issue.minimum) === 1
        ? 'it is empty'
        : `expected ${issue.inclusive === false ? 'more than' : 'at least'} ${issue.minimum}${unitOf(issue.origin)}`;
    case 'too_big':
      return `expected ${issue.inclusive === false ? 'less than' : 'at most'} ${issue.maximum}${unitOf(issue.origin)}`;
    default:
      return issue.message;
  }
}

/** What any of a union's branches would have taken. */
export function unionInWords(branches: readonly z.core.$ZodIssue[]): string {
  const expected = branches.map((issue) => /^expected (.+?)(?:, got .*)?$/.exec(issueInWords(issue))?.[1]);
  const known = expected.filter((words) => words !== undefined);
  return known.length === 0 ? 'it is not valid' : `expected ${anyOf([...new Set(known)])}`;
}

function anyOf(words: readonly string[]): string {
  return words.length < 2 ? words.join('') : `${words.slice(0, -1).join(', ')} or ${words.at(-1)}`;
}

function unitOf(origin: string): string {
  return origin === 'string' ? ' characters' : origin === 'array' ? ' items' : '';
}
