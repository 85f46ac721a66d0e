/** Features of the tiny model, and how tests read them. */
import type { LocalEngine } from '../../platform/local/local-engine.ts';
import { FeatureFrameReader, type FeatureFrame } from '../feature-frames.ts';
import type { FeatureAnswer, FeaturePart, FeatureRequest } from '../feature-protocol.ts';

export const PARTS: readonly FeaturePart[] = [
  { numLayers: 0, pooling: 'mean' },
  { numLayers: 2, pooling: 'mean' },
  { numLayers: 2, pooling: 'max' },
  { numLayers: 1, pooling: 'max' },
];

export function featureRequest(overrides: Partial<FeatureRequest> = {}): FeatureRequest {
  return { requestId: 'test', texts: [[3, 4, 5]], parts: PARTS, windowTokens: 16, ...overrides };
}

/** What a request is answered with that does not say that it takes a piece. */
export function streamOf(answer: FeatureAnswer): ReadableStream<Uint8Array> {
  if (answer instanceof Uint8Array) {
    throw new TypeError('the answer is one piece, which nobody asked for');
  }
  return answer;
}

export async function readFrames(answer: FeatureAnswer): Promise<FeatureFrame[]> {
  const reader = new FeatureFrameReader();
  const frames: FeatureFrame[] = [];
  for await (const piece of answer instanceof Uint8Array ? [answer] : answer) {
    frames.push(...reader.push(piece));
  }
  return frames;
}

/** Rows in order of the texts. */
export function rowsOf(frames: readonly FeatureFrame[]): number[][] {
  const rows: number[][] = [];
  for (const frame of frames) {
    if (frame.kind === 'row') {
      rows[frame.textIndex] = [...frame.features];
    }
  }
  return rows;
}

export async function featuresOf(local: LocalEngine, request: FeatureRequest): Promise<number[][]> {
  const frames = await readFrames(await local.features.extractFeatures(request));
  const last = frames.at(-1);
  if (last?.kind !== 'end') {
    throw new Error(`the features ended with ${JSON.stringify(last)}`);
  }
  return rowsOf(frames);
}
