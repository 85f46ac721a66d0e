import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { GenerateEvent } from '../../engine/protocol.ts';
import { EventStreamError, readEvents } from '../event-stream.ts';

const encoder = new TextEncoder();

function streamOf(...pieces: readonly Uint8Array[]): ReadableStream<Uint8Array> {
  return new ReadableStream({
    start(controller) {
      for (const piece of pieces) {
        controller.enqueue(piece);
      }
      controller.close();
    },
  });
}

async function collect(stream: ReadableStream<Uint8Array>, lineBytesMax?: number): Promise<GenerateEvent[]> {
  const events: GenerateEvent[] = [];
  for await (const event of readEvents(stream, new AbortController().signal, lineBytesMax)) {
    events.push(event);
  }
  return events;
}

const EVENTS: GenerateEvent[] = [
  { type: 'accepted', load: { numRunning: 0, numWaiting: 1 }, nextWithinMs: 10_000 },
  { type: 'alive', nextWithinMs: 12_000 },
  { type: 'prompt', logprobs: [] },
  { type: 'token', tokenId: 7, logprob: { tokenId: 7, logprob: -0.5, top: [[7, -0.5]] } },
  { type: 'error', code: 'internal', message: 'größer als 位', retryable: false },
  { type: 'finish', reason: 'stop', promptTokens: 1, completionTokens: 1, cachedTokens: 0 },
];
const BYTES = encoder.encode(EVENTS.map((event) => `${JSON.stringify(event)}\n`).join(''));

describe('readEvents', () => {
  it('reads the same events from any pieces, also inside a character', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(fc.nat(BYTES.length), { maxLength: 20 }), async (borders) => {
        const sorted = [0, ...borders.sort((a, b) => a - b), BYTES.length];
        const pieces = sorted.slice(1).map((end, index) => BYTES.slice(sorted[index], end));
        expect(await collect(streamOf(...pieces))).toEqual(EVENTS);
      }),
    );
  });

  it('takes a line of the longest length and refuses one byte more, before its end has come', async () => {
    const line = JSON.stringify(EVENTS[2]);
    const bytes = encoder.encode(`${line}\n`);
    expect(await collect(streamOf(bytes), line.length)).toHaveLength(1);
    await expect(collect(streamOf(bytes), line.length - 1)).rejects.toThrow(EventStreamError);
    await expect(collect(streamOf(bytes.slice(0, -1)), line.length - 1)).rejects.toThrow(EventStreamError);
  });

  it.each([
    '{"type":"token"',
    'null',
    '7',
    '{}',
    '{"type":"token","tokenId":"7"}',
    '{"type":"finish"}',
    '{"type":"accepted","load":{"numRunning":1,"numWaiting":-1}}',
    '{"type":"x"}',
    '',
  ])('refuses the line %j', async (line) => {
    await expect(collect(streamOf(encoder.encode(`${line}\n`)))).rejects.toThrow(EventStreamError);
  });

  it('refuses an end inside a line', async () => {
    await expect(collect(streamOf(BYTES.slice(0, -1)))).rejects.toThrow(EventStreamError);
  });

  it('cancels the stream when the loop is left and when the signal is aborted', async () => {
    for (const byAbort of [true, false]) {
      let numCancelled = 0;
      const aborting = new AbortController();
      const endless = new ReadableStream<Uint8Array>({
        pull: (controller) => controller.enqueue(encoder.encode(`${JSON.stringify(EVENTS[2])}\n`)),
        cancel: () => void numCancelled++,
      });
      let numEvents = 0;
      for await (const _ of readEvents(endless, aborting.signal)) {
        numEvents++;
        if (byAbort) {
          aborting.abort();
        } else {
          break;
        }
      }
      expect({ numEvents, numCancelled }).toEqual({ numEvents: 1, numCancelled: 1 });
    }
  });
});
