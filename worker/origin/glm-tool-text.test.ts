import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ARGUMENTS_LENGTH_MAX, GlmToolTextParser, type ParsedToolCall } from './glm-tool-text.ts';

const NAMES = ['get', 'get_weather', 'f'];

function parse(pieces: readonly string[]): { content: string; toolCalls: ParsedToolCall[] } {
  const parser = new GlmToolTextParser(NAMES);
  const parts = [...pieces.map((piece) => parser.push(piece)), parser.end()];
  return {
    content: parts.map(({ content }) => content).join(''),
    toolCalls: parts.flatMap(({ toolCalls }) => toolCalls),
  };
}

const call = (name: string, text: string): ParsedToolCall => ({ name, arguments: text });

describe('GlmToolTextParser', () => {
  it.each([
    ['get_weather\n{"city": "北京"}', '', [call('get_weather', '{"city": "北京"}')]],
    ['\nget_weather \n {"a": {"b": "}\\""}}\n', '', [call('get_weather', '{"a": {"b": "}\\""}}')]],
    ['f\n{}\nget\n{"x": 1}', '', [call('f', '{}'), call('get', '{"x": 1}')]],
    ['f\n{} and more', ' and more', [call('f', '{}')]],
    ['f\n{not json}', 'f\n{not json}', []],
    ['f\n{"unfinished": ', 'f\n{"unfinished": ', []],
    ['f(x) is a function', 'f(x) is a function', []],
    ['unknown\n{}', 'unknown\n{}', []],
    ['I say\nf\n{}', 'I say\nf\n{}', []],
    ['get_wea', 'get_wea', []],
    ['f\n', 'f\n', []],
    ['', '', []],
  ])('%j', (text, content, toolCalls) => {
    expect(parse([text])).toEqual({ content, toolCalls });
  });

  it('gives text out at once when it cannot be a call', () => {
    expect(new GlmToolTextParser(NAMES).push('Hello')).toEqual({ content: 'Hello', toolCalls: [] });
  });

  it('takes arguments up to the limit for a call, and longer ones for text', () => {
    const argumentsOf = (length: number): string => `{"a":"${'x'.repeat(length - 8)}"}`;
    expect(parse([`f\n${argumentsOf(ARGUMENTS_LENGTH_MAX)}`]).toolCalls).toHaveLength(1);
    const tooLong = `f\n${argumentsOf(ARGUMENTS_LENGTH_MAX + 1)}`;
    expect(parse([tooLong])).toEqual({ content: tooLong, toolCalls: [] });
    expect(parse([tooLong.slice(0, -1), '}'])).toEqual({ content: tooLong, toolCalls: [] });
  });

  it('gives the same however the text is cut', () => {
    const parts = fc.constantFrom('f\n{', '}', '{', '"', '\\', 'get_weather', 'get', '\n', ' ', '{"a":1}', 'f', 'x');
    fc.assert(
      fc.property(fc.array(parts, { maxLength: 12 }), fc.array(fc.nat(40)), (list, cuts) => {
        const whole = list.join('');
        const ends = [...cuts, whole.length].sort((a, b) => a - b);
        const pieces = ends.map((end, index) => whole.slice(ends[index - 1] ?? 0, end));
        expect(parse(pieces)).toEqual(parse([whole]));
        expect(parse(Array.from(whole))).toEqual(parse([whole]));
      }),
    );
  });
});
