/** Two real rings of the tiny model behind one client: one dies in the middle, and what comes is what a calm run gives. */
import { describe, expect, it } from 'vitest';
import type { HeadClient } from '../../engine/protocol.ts';
import type { FrameLink } from '../../platform/link.ts';
import { systemClock } from '../../platform/system.ts';
import { collect, promptOf, requestOf, tinyRings } from '../../test/tiny-ring.ts';
import { createEngineClient, type ContentEvent } from '../engine-client.ts';
import type { GenerationError } from '../recovery.ts';
import { ReplicaSet } from '../replica-set.ts';
import { GREEDY } from '../../sampling/greedy.ts';

const rings = await tinyRings();

const NUM_TOKENS = 24;
const REQUEST = requestOf({
  promptTokens: promptOf(40),
  maxTokens: NUM_TOKENS,
  sampling: { ...GREEDY, temperature: 0.9, presencePenalty: 0.3, seed: 11 },
  numTopLogprobs: 2,
  numPromptLogprobs: 1,
});

const expected = await collect((await rings.open()).engine, REQUEST);

interface Run {
  readonly events: ContentEvent[];
  readonly failures: GenerationError[];
}

async function runOver(heads: readonly HeadClient[]): Promise<Run> {
  const client = createEngineClient(new ReplicaSet(heads, systemClock), systemClock);
  const run: Run = { events: [], failures: [] };
  const onResume = (failure: GenerationError): void => void run.failures.push(failure);
  for await (const event of client.generate(REQUEST, new AbortController().signal, { onResume })) {
    run.events.push(event);
  }
  return run;
}

/** A head whose object is reset after so many events of its first stream: the stream fails, wherever it is. */
function resetAfter(head: HeadClient, numEvents: number): HeadClient {
  let isReset = false;
  const cut = (stream: ReadableStream<Uint8Array>): ReadableStream<Uint8Array> => {
    let numSeen = 0;
    return stream.pipeThrough(
      new TransformStream<Uint8Array, Uint8Array>({
        transform(chunk, controller) {
          for (const [index, byte] of chunk.entries()) {
            numSeen += byte === 0x0a ? 1 : 0;
            if (numSeen === numEvents) {
              controller.enqueue(chunk.subarray(0, index + 1));
              controller.error(new Error('the object was reset'));
              return;
            }
          }
          controller.enqueue(chunk);
        },
      }),
    );
  };
  return {
    stats: () => head.stats(),
    generate: async (request) => {
      const stream = await head.generate(request);
      if (isReset) {
        return stream;
      }
      isReset = true;
      return cut(stream);
    },
  };
}

describe('a replica that dies', () => {
  it.each([1, 2, 3, 4, 9, 20, NUM_TOKENS + 1])('after %i events loses and repeats nothing', async (numEvents) => {
    const first = await rings.open({ stageCount: 2 });
    const second = await rings.open({ stageCount: 3 });
    // Whichever is asked first dies.
    const run = await runOver([resetAfter(first.engine, numEvents), resetAfter(second.engine, numEvents)]);
    const isPromptAndTokens = (events: readonly { type: string }[]) => events.filter(({ type }) => type !== 'finish');
    expect(isPromptAndTokens(run.events)).toEqual(isPromptAndTokens(expected));
    expect(run.events.at(-1)).toMatchObject({ type: 'finish', reason: 'length' });
    expect(run.failures.length).toBeGreaterThan(0);
  });

  it('because its links break is followed by the other one', async () => {
    let numFrames = 0;
    // Some frames round the ring, then no link holds any more.
    const breaking = (link: FrameLink): FrameLink => ({
      attach: (handlers) => link.attach(handlers),
      close: (reason) => link.close(reason),
      send: (bytes) => (++numFrames > 20 ? link.close('cut by the test') : link.send(bytes)),
    });
    const limits = { ringFailuresMax: 0, reopenDelayMs: 1 };
    const broken = await rings.open({ stageCount: 2, wrapLink: breaking, limits });
    const whole = await rings.open({ stageCount: 2 });
    const run = await runOver([broken.engine, whole.engine]);
    const reversed = await runOver([whole.engine, broken.engine]);
    for (const { events } of [run, reversed]) {
      expect(events.slice(0, -1)).toEqual(expected.slice(0, -1));
    }
    expect([...run.failures, ...reversed.failures].map(({ code }) => code)).toContain('ring_failed');
  });
});
