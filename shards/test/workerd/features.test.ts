/** Features of texts from a Durable Object: over RPC, beside a stream, and given up by their reader. */
import { env } from 'cloudflare:workers';
import { expect, it } from 'vitest';
import { extractFeatures, type FeatureMatrix } from '../../client/feature-client.ts';
import type { FeatureRequest } from '../../features/feature-protocol.ts';
import { systemClock } from '../../platform/system.ts';
import { shardName, type TestShard } from './ring-worker.ts';

const namespace = (env as unknown as { SHARD: DurableObjectNamespace<TestShard> }).SHARD;

const REQUEST: FeatureRequest = {
  requestId: 'test',
  texts: Array.from({ length: 30 }, (_, i) =>
    Array.from({ length: 1 + (i % 9) }, (_token, j) => 3 + ((i * 31 + j * 7) % 200)),
  ),
  parts: [
    { numLayers: 1, pooling: 'mean' },
    { numLayers: 2, pooling: 'max' },
  ],
  windowTokens: 16,
};

function headOf(replica: string, stageCount: number): DurableObjectStub<TestShard> {
  return namespace.getByName(shardName(replica, 0, stageCount));
}

function featuresOf(head: DurableObjectStub<TestShard>, request = REQUEST): Promise<FeatureMatrix> {
  const signal = new AbortController().signal;
  const heads = [{ extractFeatures: (asked: FeatureRequest) => head.extractFeatures(asked) }] as const;
  return extractFeatures(request, { heads, clock: systemClock, signal });
}

it('come from a head alone, whose ring stays closed, and are the same on every head', async () => {
  const head = headOf('features', 3);
  const expected = await featuresOf(headOf('features-alone', 1));
  expect(expected.features).toHaveLength(30 * expected.featureSize);
  expect(expected.features.every(Number.isFinite)).toBe(true);
  expect(await featuresOf(head)).toEqual(expected);
  expect(await head.health()).toMatchObject({ isOpen: false });
});

it('come in one piece when they are few', async () => {
  const head = headOf('features-piece', 1);
  const texts = REQUEST.texts.slice(0, 3);
  const request = { ...REQUEST, texts, isPieceTaken: true };
  expect(await head.extractFeatures(request)).toBeInstanceOf(Uint8Array);
  const { features, featureSize } = await featuresOf(head);
  expect((await featuresOf(head, request)).features).toEqual(features.slice(0, texts.length * featureSize));
});

it('are dropped when their reader goes, and the next ones come', async () => {
  const head = headOf('features-cancelled', 1);
  const answer = await head.extractFeatures(REQUEST);
  if (answer instanceof Uint8Array) {
    throw new TypeError('a large answer is a stream');
  }
  await answer.cancel();
  expect((await featuresOf(head)).numTokens).toBe(REQUEST.texts.flat().length);
});
