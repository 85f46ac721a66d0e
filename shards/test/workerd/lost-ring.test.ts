/** Rings that lose their head, and everything else, in the same instant: a gateway's client notices nothing but a pause. */
import { abortAllDurableObjects } from 'cloudflare:test';
import { describe, expect, it } from 'vitest';
import { createEngineClient } from '../../client/engine-client.ts';
import { ReplicaSet } from '../../client/replica-set.ts';
import type { GenerateEvent, HeadClient } from '../../engine/protocol.ts';
import { systemClock } from '../../platform/system.ts';
import { generate, headOf, REQUEST, shardOf, tokensOf, until } from './ring-client.ts';

const STAGE_COUNT = 3;
const STAGES = [0, 1, 2] as const;
const LONG_REQUEST = { ...REQUEST, maxTokens: 150 };

const expected = tokensOf(await generate(headOf('undisturbed', 1), LONG_REQUEST));

interface Streamed {
  readonly tokens: readonly GenerateEvent[];
  /** After which the client asked again. */
  readonly failures: readonly string[];
}

/**
 * Streams a generation as a gateway does.
 * @param onEvent told how many events have come
 */
async function stream(replica: string, onEvent: (numEvents: number) => Promise<void>): Promise<Streamed> {
  // A stub is of no use after an exception, so each call takes a new one.
  const head: HeadClient = {
    generate: (request) => headOf(replica, STAGE_COUNT).generate(request),
    stats: () => headOf(replica, STAGE_COUNT).stats(),
  };
  const client = createEngineClient(new ReplicaSet([head], systemClock), systemClock);
  const events: GenerateEvent[] = [];
  const failures: string[] = [];
  const onResume = ({ message }: Error): void => void failures.push(message);
  for await (const event of client.generate(LONG_REQUEST, new AbortController().signal, { onResume })) {
    events.push(event);
    await onEvent(events.length);
  }
  return { tokens: tokensOf(events), failures };
}

describe('a stream', () => {
  it.each([
    ['the head is', [0]],
    ['the head and a stage are', [0, 1]],
    ['all of the ring are', STAGES],
  ] as const)('goes on with the same tokens when %s lost in the middle, with all memory', async (_name, lost) => {
    const replica = `lost-${lost.join('-')}`;
    const { tokens, failures } = await stream(replica, async (numEvents) => {
      if (numEvents === 1) {
        await Promise.all(lost.map((stageIndex) => shardOf(replica, stageIndex, STAGE_COUNT).abortSoon()));
      }
    });
    expect(failures).toHaveLength(1);
    expect(tokens).toEqual(expected);
    expect(expected).toHaveLength(150);
  });

  it('goes on with the same tokens when all objects are lost in one instant, and the isolate stays', async () => {
    const { tokens, failures } = await stream('lost at once', async (numEvents) => {
      if (numEvents === 1) {
        await abortAllDurableObjects();
      }
    });
    expect(failures).toHaveLength(1);
    expect(tokens).toEqual(expected);
  });

  it('is not held up by loads of weights that ended with their objects', async () => {
    const head = headOf('lost while loading', STAGE_COUNT);
    await head.holdWeights(true);
    const streamed = stream('lost while loading', () => Promise.resolve());
    // Each stage has begun to load, and waits for as many files as it may.
    await until(async () => (await head.numFilesHeld()) >= STAGE_COUNT);
    await abortAllDurableObjects();
    await headOf('lost while loading', STAGE_COUNT).holdWeights(false);
    const { tokens, failures } = await streamed;
    expect(failures).toHaveLength(1);
    expect(tokens).toEqual(expected);
    // Nobody waited for a load of the lives before: else the opening had been tried again.
    for (const stageIndex of STAGES.slice(1)) {
      expect(await shardOf('lost while loading', stageIndex, STAGE_COUNT).numOpenings()).toBe(1);
    }
  });
});
