import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ThinkTagSplitter, type SplitText } from './think-tags.ts';

function split(form: 'pair' | 'closing', pieces: readonly string[]): SplitText {
  const splitter = new ThinkTagSplitter(form);
  const parts = [...pieces.map((piece) => splitter.push(piece)), splitter.end()];
  return {
    reasoning: parts.map(({ reasoning }) => reasoning).join(''),
    content: parts.map(({ content }) => content).join(''),
  };
}

describe('ThinkTagSplitter', () => {
  it.each([
    ['pair', '<think>\nhm</think>\n\nyes', '\nhm', 'yes'],
    ['pair', '\n <think>hm</think>yes', 'hm', 'yes'],
    ['pair', 'no <think>tag</think> at the start', '', 'no <think>tag</think> at the start'],
    ['pair', '<thin ice', '', '<thin ice'],
    ['pair', '<think>never ends </thin', 'never ends </thin', ''],
    ['pair', '<think></think><think>', '', '<think>'],
    ['closing', 'hm</think>yes', 'hm', 'yes'],
    ['closing', '<think>hm</think>yes', 'hm', 'yes'],
    ['closing', 'never ends', 'never ends', ''],
    ['closing', '</think>', '', ''],
    ['pair', '', '', ''],
  ] as const)('%s: %j', (form, text, reasoning, content) => {
    expect(split(form, [text])).toEqual({ reasoning, content });
  });

  it('gives the same however the text is cut', () => {
    const parts = fc.array(fc.constantFrom('<think>', '</think>', '<', '/', 'think', '>', 'a', ' ', '\n', '位'));
    fc.assert(
      fc.property(fc.constantFrom('pair', 'closing'), fc.array(parts), (form, pieces) => {
        const texts = pieces.map((piece) => piece.join(''));
        const whole = texts.join('');
        expect(split(form, texts)).toEqual(split(form, [whole]));
        expect(split(form, Array.from(whole))).toEqual(split(form, [whole]));
      }),
    );
  });
});
