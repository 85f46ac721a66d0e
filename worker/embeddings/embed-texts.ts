/** Embeddings of texts from the head shard: the same features as for classification, projected. */
import { extractFeatures } from '../../shards/client/feature-client.ts';
import type { FeatureHead } from '../../shards/features/feature-protocol.ts';
import { FEATURE_LIMITS } from '../../shards/features/limits.ts';
import type { Clock } from '../../shards/platform/clock.ts';
import type { EmbeddingProjection } from './projection.ts';

export interface Embedder {
  readonly projection: EmbeddingProjection;
  /** The one to ask first first. */
  readonly heads: readonly [FeatureHead, ...FeatureHead[]];
  readonly clock: Clock;
  readonly requestId: string;
}

/**
 * @param texts token ids of each, none empty
 * @returns unit vectors in the order of the texts
 * @throws FeatureError when the heads refuse or keep failing; AbortedError when `signal` was aborted
 */
export async function embedTexts(
  { projection, heads, clock, requestId }: Embedder,
  texts: readonly (readonly number[])[],
  dimensions: number,
  signal: AbortSignal,
): Promise<Float32Array<ArrayBuffer>[]> {
  const { part, windowTokens } = projection;
  const embeddings: Float32Array<ArrayBuffer>[] = [];
  // One call after the other: the head shares its batches among requests, not among the parts of one.
  for (let start = 0; start < texts.length; start += FEATURE_LIMITS.textsMax) {
    const some = texts.slice(start, start + FEATURE_LIMITS.textsMax);
    const request = { requestId: `${requestId}.${start}`, texts: some, parts: [part], windowTokens };
    const { features, featureSize } = await extractFeatures(request, { heads, clock, signal });
    for (let row = 0; row < some.length; row++) {
      embeddings.push(projection.project(features.subarray(row * featureSize, (row + 1) * featureSize), dimensions));
    }
  }
  return embeddings;
}

/** Of unit vectors: -1 to 1. */
export function cosine(a: Float32Array, b: Float32Array): number {
  return a.reduce((sum, value, at) => sum + value * (b[at] ?? 0), 0);
}
