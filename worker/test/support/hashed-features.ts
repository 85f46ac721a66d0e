/** A head shard in the place of the real one: features are bags of tokens, so what is learnt from them can be foreseen. */
import { encodeFeatureFrame, encodeFeatureSize } from '../../../shards/features/feature-frames.ts';
import type { FeatureFailure, FeatureHead, FeatureRequest } from '../../../shards/features/feature-protocol.ts';

const PART_SIZE = 32;
/** Odd, so that it permutes the slots. */
const FACTOR = 2654435761;

export class HashedFeatures implements FeatureHead {
  numTexts = 0;
  /** What the next call fails with; null when it does not. */
  failure: FeatureFailure | null = null;
  /** Called with each call, before it is answered. */
  onCall: () => void = () => {};

  extractFeatures({ texts, parts }: FeatureRequest): Promise<ReadableStream<Uint8Array>> {
    this.onCall();
    const failure = this.failure;
    this.failure = null;
    this.numTexts += texts.length;
    const pieces = [encodeFeatureSize(parts.length * PART_SIZE)];
    if (failure === null) {
      pieces.push(
        ...texts.map((tokens, textIndex) =>
          encodeFeatureFrame({ kind: 'row', textIndex, features: features(tokens, parts.length) }),
        ),
      );
      pieces.push(encodeFeatureFrame({ kind: 'end', numTokens: texts.flat().length }));
    } else {
      pieces.push(encodeFeatureFrame({ kind: 'error', failure }));
    }
    return Promise.resolve(new Blob(pieces).stream());
  }
}

/** Every token, and every pair of neighbours, counts in one slot of each part. */
function features(tokens: readonly number[], numParts: number): Float32Array<ArrayBuffer> {
  const values = new Float32Array(numParts * PART_SIZE);
  tokens.forEach((token, at) => {
    for (let part = 0; part < numParts; part++) {
      for (const gram of [token + 1, (token + 1) * 512 + (tokens[at + 1] ?? 0)]) {
        const slot = (Math.imul(gram + part * 7919, FACTOR) >>> 8) % PART_SIZE;
        values[part * PART_SIZE + slot] = (values[part * PART_SIZE + slot] ?? 0) + 1 / tokens.length;
      }
    }
  });
  return values;
}
