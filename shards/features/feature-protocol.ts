/**
 * What is asked of a head shard for the features of texts. Plain structured-clone data: it crosses an RPC boundary.
 * Features are pooled hidden states of the first layers, which the head has, so no other stage takes part.
 */
import type { EngineErrorCode } from '../engine/protocol.ts';

/** How the hidden states of a text's tokens become one vector. */
export const POOLINGS = ['mean', 'max'] as const;
export type Pooling = (typeof POOLINGS)[number];

/** `hiddenSize` values of a text: the hidden states after the first `numLayers` layers, 0 for the embedding, pooled. */
export interface FeaturePart {
  readonly numLayers: number;
  readonly pooling: Pooling;
}

export interface FeatureRequest {
  readonly requestId: string;
  /** Token ids of each text; none is empty. */
  readonly texts: readonly (readonly number[])[];
  /** A text's features are these parts, one after the other. */
  readonly parts: readonly FeaturePart[];
  /** Longer texts are cut into windows of so many tokens that do not see each other, and pooled over all of them. */
  readonly windowTokens: number;
  /** The asker takes a small answer in one piece, which costs less than a stream. One that does not say so gets a stream. */
  readonly isPieceTaken?: boolean;
}

/** Frames of `feature-frames.ts`: as they come, or, of a small request, all at once. */
export type FeatureAnswer = ReadableStream<Uint8Array> | Uint8Array;

/** Codes are stable; messages are for people. `retryable`: the same may succeed later, or on another replica. */
export interface FeatureFailure {
  readonly code: EngineErrorCode;
  readonly message: string;
  readonly retryable: boolean;
}

/** The head shard as it is seen by whoever wants features: a Durable Object stub when deployed. */
export interface FeatureHead {
  /**
   * The frames end with `end` or `error`. Rows come as they are computed, in any order. Cancelling a stream drops what is
   * not computed yet; an answer in one piece is of so little work that nobody can give it up.
   */
  extractFeatures(request: FeatureRequest): Promise<FeatureAnswer>;
}
