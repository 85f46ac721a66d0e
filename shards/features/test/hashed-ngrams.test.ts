import { describe, expect, it } from 'vitest';
import { addHashedNgrams } from '../hashed-ngrams.ts';

const NUM_COLUMNS = 1152;

function columnsOf(text: string, numColumns = NUM_COLUMNS): Float32Array {
  const columns = new Float32Array(numColumns);
  addHashedNgrams(text, columns);
  return columns;
}

const length = (values: Float32Array): number => Math.hypot(...values);
const cosine = (a: Float32Array, b: Float32Array): number =>
  a.reduce((sum, value, at) => sum + value * (b[at] ?? 0), 0) / (length(a) * length(b));

describe('addHashedNgrams', () => {
  it('counts the pieces of a word with a space on either side', () => {
    // " ab ": " ab", "ab ", " ab ".
    const columns = columnsOf('ab');
    expect([...columns].filter((count) => count !== 0).map(Math.abs)).toEqual([1, 1, 1]);
    // " a " is a piece by itself, and there are none of four.
    expect([...columnsOf('a')].filter((count) => count !== 0).map(Math.abs)).toEqual([1]);
  });

  it('is the same whatever the case and the spaces, and in any order of the words', () => {
    const columns = columnsOf('card arrival');
    expect(columnsOf('  Card\n\tARRIVAL ')).toEqual(columns);
    expect(columnsOf('arrival card')).toEqual(columns);
    const added = columnsOf('card');
    addHashedNgrams('arrival', added);
    expect(added).toEqual(columns);
  });

  it('finds words that are written almost alike near each other, and others not', () => {
    const columns = columnsOf('my transfer has not arrived');
    expect(cosine(columns, columnsOf('my transfr has not arived'))).toBeGreaterThan(0.6);
    expect(Math.abs(cosine(columns, columnsOf('give me quick pancakes')))).toBeLessThan(0.15);
  });

  it('uses all columns and both signs alike', () => {
    const columns = new Float32Array(64);
    for (let number = 0; number < 2000; number++) {
      addHashedNgrams(String(number * 7919), columns);
    }
    const counts = new Float32Array(64);
    let numPositive = 0;
    for (let number = 0; number < 2000; number++) {
      columnsOf(String(number * 7919), 64).forEach((count, at) => {
        counts[at] = (counts[at] ?? 0) + Math.abs(count);
        numPositive += count > 0 ? 1 : 0;
      });
    }
    const mean = counts.reduce((sum, count) => sum + count, 0) / 64;
    counts.forEach((count) => expect(Math.abs(count / mean - 1)).toBeLessThan(0.5));
    expect(numPositive).toBeGreaterThan(5000);
    // Signs cancel: no column grows as fast as its pieces are counted.
    columns.forEach((sum, at) => expect(Math.abs(sum)).toBeLessThan(0.7 * (counts[at] ?? 0)));
  });

  it('stays what it is: models hold what was learnt of these columns', () => {
    const columns = columnsOf('Where is my card?', 16);
    expect([...columns]).toMatchInlineSnapshot(`
      [
        1,
        1,
        0,
        0,
        -1,
        0,
        0,
        1,
        -1,
        1,
        1,
        0,
        1,
        -1,
        -4,
        -1,
      ]
    `);
  });

  it('counts no piece of a text without words', () => {
    expect(length(columnsOf(' \n '))).toBe(0);
  });
});
