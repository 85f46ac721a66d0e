import { describe, expect, it } from 'vitest';
import {
  encodeFeatureFrame,
  encodeFeatureSize,
  FEATURE_ERROR_BYTES_MAX,
  FEATURE_SIZE_MAX,
  FeatureFrameReader,
  type FeatureFrame,
} from '../feature-frames.ts';

const FRAMES: readonly FeatureFrame[] = [
  { kind: 'row', textIndex: 7, features: Float32Array.of(1.5, -2, 3e-20) },
  { kind: 'row', textIndex: 0, features: Float32Array.of(0, -0, 65_504) },
  { kind: 'error', failure: { code: 'internal', message: 'ein Fehler: ü', retryable: true } },
  { kind: 'end', numTokens: 4_000_000_000 },
];

function bytesOf(): Uint8Array {
  const parts = [encodeFeatureSize(3), ...FRAMES.map(encodeFeatureFrame)];
  return Uint8Array.from(parts.flatMap((part) => [...part]));
}

describe('frames of features', () => {
  it('come through in pieces of any length', () => {
    const bytes = bytesOf();
    for (const length of [1, 2, 3, 5, 8, 13, bytes.length]) {
      const reader = new FeatureFrameReader();
      const frames: FeatureFrame[] = [];
      for (let start = 0; start < bytes.length; start += length) {
        frames.push(...reader.push(bytes.subarray(start, start + length)));
      }
      expect(frames, `pieces of ${length}`).toEqual(FRAMES);
    }
  });

  it('cut a long message off, so that it is read on the other side', () => {
    const message = '\u0001'.repeat(5000);
    const error = { kind: 'error', failure: { code: 'internal', message, retryable: true } } as const;
    const reader = new FeatureFrameReader();
    expect([...reader.push(encodeFeatureSize(1)), ...reader.push(encodeFeatureFrame(error))]).toEqual([
      { ...error, failure: { ...error.failure, message: message.slice(0, 2000) } },
    ]);
  });

  it('are refused when they say what no head says', () => {
    const read = (...parts: Uint8Array[]): (() => FeatureFrame[]) => {
      return () => [...new FeatureFrameReader().push(Uint8Array.from(parts.flatMap((part) => [...part])))];
    };
    const error = (length: number): Uint8Array => new Uint8Array(Uint32Array.of(3, length).buffer);
    expect(read(encodeFeatureSize(FEATURE_SIZE_MAX))).not.toThrow();
    expect(read(encodeFeatureSize(FEATURE_SIZE_MAX + 1))).toThrow(`${FEATURE_SIZE_MAX + 1} features`);
    expect(read(encodeFeatureSize(1), error(FEATURE_ERROR_BYTES_MAX))).not.toThrow();
    expect(read(encodeFeatureSize(1), error(FEATURE_ERROR_BYTES_MAX + 1))).toThrow('an error of');
    expect(read(encodeFeatureSize(1), new Uint8Array(Uint32Array.of(4, 0).buffer))).toThrow('kind 4');
    expect(read(encodeFeatureSize(1), error(2), Uint8Array.of(0x7b, 0x7b))).toThrow('not JSON');
  });
});
