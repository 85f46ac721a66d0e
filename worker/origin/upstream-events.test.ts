import { describe, expect, it } from 'vitest';
import { EVENT_LENGTH_MAX, readText, readUpstreamEvents, type UpstreamEvent } from './upstream-events.ts';

const { signal } = new AbortController();

async function read(text: string, pieceLength = text.length): Promise<UpstreamEvent[]> {
  const bytes = new TextEncoder().encode(text);
  const body = new ReadableStream<Uint8Array>({
    start(controller) {
      for (let start = 0; start < bytes.length; start += pieceLength) {
        controller.enqueue(bytes.slice(start, start + pieceLength));
      }
      controller.close();
    },
  });
  const events: UpstreamEvent[] = [];
  for await (const event of readUpstreamEvents(body, signal)) {
    events.push(event);
  }
  return events;
}

describe('readUpstreamEvents', () => {
  it('reads events however the bytes are cut, and nothing after the last', async () => {
    const text = ': ping\n\ndata: {"a":"位"}\r\n\r\nevent: error\ndata: {"b":1}\n\ndata: [DONE]\n\ndata: {"c":1}\n\n';
    const expected = [
      { type: 'data', value: { a: '位' } },
      { type: 'data', value: { error: { b: 1 } } },
      { type: 'done' },
    ];
    expect(await read(text)).toEqual(expected);
    expect(await read(text, 1)).toEqual(expected);
  });

  it.each([
    ['data: [1]\n\n', 'not a JSON object'],
    ['data: {"a":\n\n', 'not JSON'],
    ['<html>\n\n', 'no events'],
  ])('refuses %j', async (text, named) => {
    await expect(read(text)).rejects.toThrow(named);
  });

  it('reads an event at the limit and refuses one beyond it', async () => {
    const event = (length: number): string => `data: {"a":"${'x'.repeat(length - 16)}"}\n\n`;
    expect(await read(event(EVENT_LENGTH_MAX), 65_536)).toHaveLength(1);
    await expect(read(event(EVENT_LENGTH_MAX + 65_536 * 2), 65_536)).rejects.toThrow('longer than');
  });
});

describe('readText', () => {
  it('reads a body at the limit and refuses one beyond it', async () => {
    expect(await readText(new Response('12345'), signal, 5)).toBe('12345');
    await expect(readText(new Response('123456'), signal, 5)).rejects.toThrow('longer than 5 bytes');
    expect(await readText(new Response(null), signal, 5)).toBe('');
  });
});
