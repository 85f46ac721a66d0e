import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { pagesForTokens } from '../../kv/page-table.ts';
import { crc32 } from '../crc32.ts';
import { decodeFrame } from '../decode-frame.ts';
import { encodeFrame, frameChecksum } from '../encode-frame.ts';
import {
  FRAME_LIMITS,
  FRAME_VERSION,
  FrameError,
  HEADER,
  PAYLOAD_ALIGNMENT,
  WELCOME_STATUSES,
  type Frame,
  type FrameLimits,
  type StepFrame,
} from '../frame.ts';

const HIDDEN_SIZE = 8;

const epochArbitrary = fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER });
const u32 = fc.integer({ min: 0, max: 0xffffffff });
const rowsArbitrary = (numRows: number): fc.Arbitrary<Float32Array<ArrayBuffer>> =>
  fc
    .array(fc.float({ noNaN: true }), { minLength: numRows * HIDDEN_SIZE, maxLength: numRows * HIDDEN_SIZE })
    .map((values) => Float32Array.from(values));

const sequenceArbitrary = fc
  .record({
    sequenceId: u32,
    startPosition: fc.nat({ max: 100 }),
    numTokens: fc.integer({ min: 1, max: 6 }),
    wanted: fc.array(fc.boolean(), { minLength: 6, maxLength: 6 }),
    numSparePages: fc.nat({ max: 2 }),
  })
  .map(({ wanted, numSparePages, ...sequence }) => ({
    ...sequence,
    pageTable: Uint32Array.from(
      { length: pagesForTokens(sequence.startPosition + sequence.numTokens) + numSparePages },
      (_, i) => i * 3 + 1,
    ),
    resultRows: Uint32Array.from([0, 1, 2, 3, 4, 5].filter((row) => row < sequence.numTokens && wanted[row])),
  }));

const stepArbitrary: fc.Arbitrary<Frame> = fc
  .record({
    epoch: epochArbitrary,
    stepId: u32,
    sequences: fc.array(sequenceArbitrary, { minLength: 1, maxLength: 4 }),
  })
  .chain(({ epoch, stepId, sequences }) =>
    rowsArbitrary(sequences.reduce((sum, { numTokens }) => sum + numTokens, 0)).map((hiddenStates) => ({
      kind: 'step' as const,
      epoch,
      stepId,
      hiddenSize: HIDDEN_SIZE,
      sequences,
      hiddenStates,
    })),
  );

const frameArbitrary: fc.Arbitrary<Frame> = fc.oneof(
  stepArbitrary,
  fc
    .record({ epoch: epochArbitrary, stepId: u32, hiddenStates: fc.nat({ max: 5 }).chain(rowsArbitrary) })
    .map((fields) => ({ kind: 'result' as const, hiddenSize: HIDDEN_SIZE, ...fields })),
  fc
    .record({
      epoch: epochArbitrary,
      stageIndex: fc.nat({ max: 4 }),
      digest: fc.uint8Array({ minLength: 32, maxLength: 32 }),
    })
    .map(({ epoch, stageIndex, digest }) => ({
      kind: 'hello' as const,
      epoch,
      stageIndex,
      stageCount: 5,
      manifestSha256: Array.from(digest, (byte) => byte.toString(16).padStart(2, '0')).join(''),
    })),
  fc.record({ epoch: epochArbitrary, status: fc.constantFrom(...WELCOME_STATUSES) }).map((fields) => ({
    kind: 'welcome' as const,
    ...fields,
  })),
);

function step(numSequences: number, numPages = 1, numTokens = 1): StepFrame {
  return {
    kind: 'step',
    epoch: 1,
    stepId: 1,
    hiddenSize: HIDDEN_SIZE,
    sequences: Array.from({ length: numSequences }, (_, sequenceId) => ({
      sequenceId,
      startPosition: 0,
      numTokens,
      pageTable: Uint32Array.from({ length: numPages }, (_unused, page) => page),
      resultRows: Uint32Array.of(0),
    })),
    hiddenStates: new Float32Array(numSequences * numTokens * HIDDEN_SIZE),
  };
}

/** Changes the header or metadata of a frame and makes the checksum right again, as a hostile sender would. */
function forge(bytes: Uint8Array<ArrayBuffer>, change: (view: DataView<ArrayBuffer>) => void): Uint8Array<ArrayBuffer> {
  const forged = bytes.slice();
  const view = new DataView(forged.buffer);
  change(view);
  const payloadOffset = Math.min(view.getUint32(HEADER.payloadOffset, true), forged.byteLength);
  view.setUint32(HEADER.checksum, frameChecksum(forged, payloadOffset), true);
  return forged;
}

function codeOf(bytes: Uint8Array<ArrayBuffer>, limits?: FrameLimits): string {
  try {
    decodeFrame(bytes, limits);
  } catch (thrown) {
    if (thrown instanceof FrameError) {
      return thrown.code;
    }
    throw thrown;
  }
  return 'decoded';
}

describe('frames', () => {
  it('come back as they were', () => {
    fc.assert(
      fc.property(frameArbitrary, (frame) => {
        expect(decodeFrame(encodeFrame(frame))).toEqual(frame);
      }),
      { numRuns: 500 },
    );
  });

  it('are read in place where they are aligned, and copied where not', () => {
    const bytes = encodeFrame(step(2));
    expect((decodeFrame(bytes) as StepFrame).hiddenStates.buffer).toBe(bytes.buffer);
    const shifted = new Uint8Array(bytes.byteLength + 1);
    shifted.set(bytes, 1);
    expect(decodeFrame(shifted.subarray(1))).toEqual(decodeFrame(bytes));
    expect(new DataView(bytes.buffer).getUint32(HEADER.payloadOffset, true) % PAYLOAD_ALIGNMENT).toBe(0);
  });

  it('are refused for every byte that is missing or too many', () => {
    const bytes = encodeFrame(step(2));
    for (let length = 0; length < bytes.byteLength; length++) {
      expect(codeOf(bytes.slice(0, length))).not.toBe('decoded');
    }
    const longer = new Uint8Array(bytes.byteLength + 1);
    longer.set(bytes);
    expect(codeOf(longer)).toBe('bad_length');
  });

  it('are refused for every flipped bit in front of the hidden states', () => {
    const bytes = encodeFrame(step(2));
    const payloadOffset = new DataView(bytes.buffer).getUint32(HEADER.payloadOffset, true);
    for (let bit = 0; bit < payloadOffset * 8; bit++) {
      const flipped = bytes.slice();
      flipped[bit >> 3] = Number(flipped[bit >> 3]) ^ (1 << (bit & 7));
      expect(codeOf(flipped)).not.toBe('decoded');
    }
  });

  it('throw nothing but FrameError, whatever the bytes', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
        expect(codeOf(Uint8Array.from(bytes))).not.toBe('decoded');
      }),
    );
  });

  it('throw nothing but FrameError when the fields lie and the checksum does not', () => {
    const lie = fc.record({ offset: fc.nat({ max: 200 }), value: fc.oneof(u32, fc.nat({ max: 64 })) });
    fc.assert(
      fc.property(frameArbitrary, fc.array(lie, { minLength: 1, maxLength: 3 }), (frame, lies) => {
        const forged = forge(encodeFrame(frame), (view) => {
          for (const { offset, value } of lies) {
            if (offset + 4 <= view.byteLength) {
              view.setUint32(offset, value, true);
            }
          }
        });
        // Another error than FrameError passes through `codeOf`, and so does a view that leaves the bytes.
        expect(typeof codeOf(forged)).toBe('string');
      }),
      { numRuns: 2000 },
    );
  });

  it.each([
    ['another version', HEADER.version, FRAME_VERSION + 1, 'bad_version'],
    ['a wrong magic', HEADER.magic, 0, 'bad_magic'],
    ['an unknown kind', HEADER.kind, 99, 'bad_kind'],
  ] as const)('are refused for %s', (_name, offset, value, code) => {
    const write = (view: DataView): void =>
      offset === HEADER.magic ? view.setUint32(offset, value, true) : view.setUint16(offset, value, true);
    expect(codeOf(forge(encodeFrame(step(1)), write))).toBe(code);
  });

  it('are refused when result rows repeat or point past the tokens', () => {
    const bytes = encodeFrame({
      ...step(1, 1, 2),
      sequences: [{ ...step(1, 1, 2).sequences[0], resultRows: [0, 1] }],
    } as StepFrame);
    // Header, five words, one page: then the rows.
    const secondRow = 48 + 4 * (5 + 1 + 1);
    expect(codeOf(forge(bytes, (view) => view.setUint32(secondRow, 0, true)))).toBe('bad_field');
    expect(codeOf(forge(bytes, (view) => view.setUint32(secondRow, 2, true)))).toBe('bad_field');
  });

  it('are refused when a page table is too short for its positions', () => {
    const startPosition = 48 + 4;
    expect(codeOf(forge(encodeFrame(step(1)), (view) => view.setUint32(startPosition, 16, true)))).toBe('bad_field');
  });
});

describe('frame limits', () => {
  const limits: FrameLimits = { ...FRAME_LIMITS, sequencesMax: 3, rowsMax: 6, pagesPerSequenceMax: 4 };
  const cases: readonly (readonly [keyof FrameLimits, StepFrame, StepFrame])[] = [
    ['sequencesMax', step(3), step(4)],
    ['rowsMax', step(1, 1, 6), step(1, 1, 7)],
    ['pagesPerSequenceMax', step(1, 4), step(1, 5)],
  ];

  it.each(cases)('%s: the largest passes, one more is refused on both sides', (_name, largest, tooLarge) => {
    expect(decodeFrame(encodeFrame(largest, limits), limits)).toEqual(largest);
    expect(() => encodeFrame(tooLarge, limits)).toThrow(FrameError);
    expect(codeOf(encodeFrame(tooLarge), limits)).toBe('over_limit');
  });

  it('frameBytesMax and hiddenSizeMax', () => {
    const bytes = encodeFrame(step(1));
    expect(codeOf(bytes, { ...limits, frameBytesMax: bytes.byteLength })).toBe('decoded');
    expect(codeOf(bytes, { ...limits, frameBytesMax: bytes.byteLength - 1 })).toBe('over_limit');
    expect(() => encodeFrame(step(1), { ...limits, frameBytesMax: bytes.byteLength - 1 })).toThrow(FrameError);
    expect(codeOf(bytes, { ...limits, hiddenSizeMax: HIDDEN_SIZE })).toBe('decoded');
    expect(codeOf(bytes, { ...limits, hiddenSizeMax: HIDDEN_SIZE - 1 })).toBe('over_limit');
    expect(() => encodeFrame(step(1), { ...limits, hiddenSizeMax: HIDDEN_SIZE - 1 })).toThrow(FrameError);
  });
});

describe('crc32', () => {
  it('gives the check value of the standard, also in pieces', () => {
    const bytes = new TextEncoder().encode('123456789');
    expect(crc32(bytes)).toBe(0xcbf43926);
    expect(crc32(bytes.subarray(4), crc32(bytes.subarray(0, 4)))).toBe(0xcbf43926);
  });
});
