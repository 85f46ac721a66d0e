/** Mistakes in words: what was expected, and what came instead. */
import { describe, expect, it } from 'vitest';
import * as z from 'zod';
import { parseOrRefuse } from './schema.ts';

const SCHEMA = z.strictObject({
  text: z.string().min(1).max(3),
  count: z.int().min(1).max(5).optional(),
  kind: z.enum(['x', 'y']).optional(),
  flag: z.boolean().optional(),
  list: z.array(z.string()).max(2).optional(),
  share: z.union([z.number().min(0).max(1), z.literal(true)]).optional(),
});

describe('parseOrRefuse', () => {
  it.each([
    [{}, "Invalid value for 'text': it is required."],
    [{ text: 1 }, "Invalid value for 'text': expected a string, got a number."],
    [{ text: '' }, "Invalid value for 'text': it is empty."],
    [{ text: 'long' }, "Invalid value for 'text': expected at most 3 characters."],
    [{ text: 'a', count: 1.5 }, "Invalid value for 'count': expected a whole number."],
    [{ text: 'a', count: 0 }, "Invalid value for 'count': expected at least 1."],
    [{ text: 'a', count: 6 }, "Invalid value for 'count': expected at most 5."],
    [{ text: 'a', kind: 'z' }, "Invalid value for 'kind': expected 'x' or 'y'."],
    [{ text: 'a', flag: 'yes' }, "Invalid value for 'flag': expected true or false, got a string."],
    [{ text: 'a', list: ['a', 'b', 'c'] }, "Invalid value for 'list': expected at most 2 items."],
    [{ text: 'a', share: 'half' }, "Invalid value for 'share': expected a number or true."],
    [{ text: 'a', share: 2 }, "Invalid value for 'share': expected at most 1."],
    [null, 'The body must be a JSON object: expected an object, got null.'],
    // Most likely the text, under another name.
    [{ texts: 'a' }, "Unknown parameter: 'texts'. Remove it: it would have no effect."],
    [{ text: 1, texts: 'a' }, "Invalid value for 'text': expected a string, got a number."],
  ])('says of %j what is wrong with it', (body, message) => {
    expect(() => parseOrRefuse(SCHEMA, body)).toThrow(message);
  });
});
