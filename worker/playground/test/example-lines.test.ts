import { describe, expect, it } from 'vitest';
import { formatOf, lineRange, tabToJsonLines } from '../example-lines.js';

describe('formatOf', () => {
  it.each([
    ['text,label\nhello,greeting', 'csv'],
    ['\n  {"text": "hello\\tyou", "label": "greeting"}', 'jsonl'],
    ['hello, you\tgreeting', 'tab'],
    ['  \n\t\n', null],
  ])('tells %j', (text, format) => {
    expect(formatOf(text)).toBe(format);
  });
});

describe('tabToJsonLines', () => {
  it('takes the last Tab, keeps empty lines, and leaves out a header', () => {
    const lines = tabToJsonLines('text\tlabel\r\na\tb\tone \r\n\r\n"c"\ttwo', false).split('\n');
    expect(lines).toEqual(['', '{"text":"a\\tb","label":"one"}', '', '{"text":"\\"c\\"","label":"two"}']);
  });

  it('cuts the labels of one text, which may have none', () => {
    expect(tabToJsonLines('a\tx|y\nb\t', true)).toBe('{"text":"a","labels":["x","y"]}\n{"text":"b","labels":[]}');
  });

  it('names a line without a Tab', () => {
    expect(() => tabToJsonLines('a\tone\nb two', false)).toThrow('Line 2 has no Tab');
  });
});

describe('lineRange', () => {
  it('is where the line stands, without its end', () => {
    const text = 'one\n\nthree\n';
    const lineOf = (line: number): string | null => {
      const range = lineRange(text, line);
      return range === null ? null : text.slice(range.start, range.end);
    };
    expect([1, 2, 3, 4].map(lineOf)).toEqual(['one', '', 'three', '']);
    expect([0, 5].map(lineOf)).toEqual([null, null]);
  });
});
