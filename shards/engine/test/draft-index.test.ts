import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { CHAINED_TOKENS, DraftIndex, MATCH_LENGTH_MAX } from '../draft-index.ts';

/** The same by looking at every position. */
function findNaively(tokens: readonly number[]): { readonly position: number; readonly length: number } | null {
  const last = tokens.length - 1;
  let best = null;
  for (let position = last - 1; position >= 0; position--) {
    let length = 0;
    while (length < MATCH_LENGTH_MAX && length <= position && tokens[position - length] === tokens[last - length]) {
      length++;
    }
    if (length > (best?.length ?? 0)) {
      best = { position, length };
    }
  }
  return best;
}

/** Few different tokens, so that much repeats, and few enough of them that no place is beyond the candidates. */
const texts = fc.array(fc.integer({ min: 0, max: 3 }), { maxLength: 40 });

describe('DraftIndex', () => {
  it('finds what a search of all positions finds, while the text grows', () => {
    fc.assert(
      fc.property(texts, fc.integer({ min: 1, max: 9 }), (text, stride) => {
        const index = new DraftIndex();
        for (let length = 1; length <= text.length; length += stride) {
          const tokens = text.slice(0, length);
          const found = index.find(tokens);
          const wanted = findNaively(tokens);
          // A list of many candidates is cut: then the match may be a shorter one, but never a wrong one.
          expect(found === null).toBe(wanted === null);
          expect(found?.length ?? 0).toBeLessThanOrEqual(wanted?.length ?? 0);
          if (found !== null) {
            expect(tokens.slice(found.position - found.length + 1, found.position + 1)).toEqual(
              tokens.slice(-found.length),
            );
            expect(found.position).toBeLessThan(tokens.length - 1);
          }
        }
      }),
    );
  });

  it('takes the longest match, and of equal ones the latest', () => {
    const index = new DraftIndex();
    const phrase = [5, 6, 7, 8];
    expect(index.find([...phrase, 1, 6, 7, 8, 2, ...phrase])).toEqual({ position: 3, length: 4 });
    expect(new DraftIndex().find([...phrase, 1, ...phrase, 2, ...phrase])).toEqual({ position: 8, length: 4 });
  });

  it('is content with one token', () => {
    expect(new DraftIndex().find([5, 6, 1, 5])).toEqual({ position: 0, length: 1 });
    expect(new DraftIndex().find([5, 6, 1, 4])).toBeNull();
    expect(new DraftIndex().find([5])).toBeNull();
  });

  it('finds a phrase again however often its last token stood elsewhere meanwhile', () => {
    const phrase = [5, 6, 7];
    expect(phrase).toHaveLength(CHAINED_TOKENS[0]);
    const others = Array.from({ length: 100 }, (_, i) => [100 + i, 7]).flat();
    const { position, length } = new DraftIndex().find([...phrase, 1, ...others, 2, ...phrase]) ?? {};
    expect({ position, length }).toEqual({ position: phrase.length - 1, length: phrase.length });
  });

  it('tells matches apart up to the longest one', () => {
    const phrase = Array.from({ length: MATCH_LENGTH_MAX + 4 }, (_, i) => i);
    expect(new DraftIndex().find([...phrase, 99, ...phrase])).toMatchObject({ length: MATCH_LENGTH_MAX });
  });

  it('looks at a bounded number of the places where a phrase stands', () => {
    let numReads = 0;
    const tokens = new Proxy(
      Array.from({ length: 4999 }, (_, i) => (i % 4 === 3 ? i : i % 4)),
      {
        get(target, name, receiver): unknown {
          numReads++;
          return Reflect.get(target, name, receiver);
        },
      },
    );
    const index = new DraftIndex();
    index.find(tokens);
    numReads = 0;
    index.find(tokens);
    expect(numReads).toBeLessThan(1000);
  });
});
