import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { StopMatcher } from './stop-matcher.ts';

/** Feeds the pieces until a match; what comes out, with what was held back when there was none. */
function run(stops: readonly string[], pieces: readonly string[]): { text: string; isMatched: boolean } {
  const matcher = new StopMatcher(stops);
  let text = '';
  for (const piece of pieces) {
    const step = matcher.push(piece);
    text += step.text;
    if (step.isMatched) {
      return { text, isMatched: true };
    }
  }
  return { text: text + matcher.flush(), isMatched: false };
}

/** The definition, written for a whole text: cut before the match that ends first, the longest of these. */
function searchWhole(stops: readonly string[], text: string): { text: string; isMatched: boolean } {
  for (let end = 1; end <= text.length; end++) {
    const ending = stops.filter((stop) => text.slice(0, end).endsWith(stop));
    if (ending.length > 0) {
      return { text: text.slice(0, end - Math.max(...ending.map((stop) => stop.length))), isMatched: true };
    }
  }
  return { text, isMatched: false };
}

function cut(text: string, borders: readonly number[]): string[] {
  const sorted = [0, ...borders.map((border) => border % (text.length + 1)).sort((a, b) => a - b), text.length];
  return sorted.slice(1).map((end, index) => text.slice(sorted[index], end));
}

describe('StopMatcher', () => {
  // Two letters, so that stop strings repeat, overlap and contain each other.
  const word = (minLength: number, maxLength: number) =>
    fc.array(fc.constantFrom('a', 'b'), { minLength, maxLength }).map((letters) => letters.join(''));
  const stopLists = fc.array(word(1, 5), { maxLength: 4 });

  it('finds in any pieces what a search of the whole text finds', () => {
    fc.assert(
      fc.property(stopLists, word(0, 30), fc.array(fc.nat(), { maxLength: 12 }), (stops, text, borders) => {
        expect(run(stops, cut(text, borders))).toEqual(searchWhole(stops, text));
      }),
      { numRuns: 2000 },
    );
  });

  it('holds back nothing but the beginning of a stop string', () => {
    fc.assert(
      fc.property(stopLists, word(0, 30), (stops, text) => {
        const matcher = new StopMatcher(stops);
        let released = '';
        for (const [index, letter] of text.split('').entries()) {
          const step = matcher.push(letter);
          released += step.text;
          if (step.isMatched) {
            return;
          }
          const held = text.slice(released.length, index + 1);
          expect(held === '' || stops.some((stop) => stop !== held && stop.startsWith(held))).toBe(true);
        }
      }),
      { numRuns: 1000 },
    );
  });

  it('releases everything at once without stop strings', () => {
    expect(new StopMatcher([]).push('text')).toEqual({ text: 'text', isMatched: false });
  });
});
