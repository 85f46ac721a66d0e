import { describe, expect, it } from 'vitest';
import { createChunkTransform } from './chat-transform.ts';
import type { OriginChunk } from './origin-backend.ts';

const TOOLS = [{ type: 'function', function: { name: 'get_weather' } }];
const request = (body: object) => ({ operation: 'chat' as const, body: { ...body }, requestId: 'r1' });
const chunk = (delta: object, finish: string | null = null): OriginChunk => ({
  choices: [{ index: 0, delta, finish_reason: finish }],
});

describe('createChunkTransform', () => {
  it('leaves chunks alone when nothing is to be read out of them', () => {
    const given = chunk({ content: '<think>' });
    const none = { thinkTags: 'none', toolCallText: true } as const;
    expect(createChunkTransform(none, request({})).apply(given)).toBe(given);
    const pair = { thinkTags: 'pair', toolCallText: false } as const;
    expect(createChunkTransform(pair, { ...request({}), operation: 'completion' }).apply(given)).toBe(given);
  });

  it('moves thinking to its field and makes a call of the text that is one', () => {
    const model = { thinkTags: 'pair', toolCallText: true } as const;
    const transform = createChunkTransform(model, request({ tools: TOOLS }));
    expect(transform.apply(chunk({ role: 'assistant', content: '<thi' }))).toEqual(chunk({ role: 'assistant' }));
    expect(transform.apply(chunk({ content: 'nk>rain?' }))).toEqual(chunk({ reasoning_content: 'rain?' }));
    expect(transform.apply(chunk({ content: '</think>\nget_weather\n{"city"' }))).toBeNull();
    const toolCalls = [
      { index: 0, id: 'call_r1_0_0', type: 'function', function: { name: 'get_weather', arguments: '{"city":1}' } },
    ];
    expect(transform.apply(chunk({ content: ':1}' }))).toEqual(chunk({ tool_calls: toolCalls }));
    expect(transform.apply(chunk({}, 'stop'))).toEqual(chunk({}, 'tool_calls'));
  });

  it('gives held text out with the finish, and keeps a finish that says the answer was too long', () => {
    const model = { thinkTags: 'none', toolCallText: true } as const;
    const transform = createChunkTransform(model, request({ tools: TOOLS }));
    expect(transform.apply(chunk({ content: 'get_weather' }))).toBeNull();
    expect(transform.apply(chunk({}, 'length'))).toEqual(chunk({ content: 'get_weather' }, 'length'));
  });
});
