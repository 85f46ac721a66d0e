import { crc32 as zlibCrc32 } from 'node:zlib';
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { pagesForTokens } from '../../kv/page-table.ts';
import { crc32 } from '../crc32.ts';
import { decodeFrame } from '../decode-frame.ts';
import { encodeFrame, frameChecksum, rewriteHiddenStates } from '../encode-frame.ts';
import type { PageOperation } from '../page-operation.ts';
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

const keyPartArbitrary = fc
  .uint8Array({ minLength: 16, maxLength: 16 })
  .map((bytes) => Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join(''));
const keyArbitrary = fc.record({ tenant: keyPartArbitrary, hash: keyPartArbitrary });
const operationArbitrary: fc.Arbitrary<PageOperation> = fc.oneof(
  fc.record({ kind: fc.constant('copy' as const), page: u32, sourcePage: u32 }),
  fc.record({ kind: fc.constant('save' as const), page: u32, key: keyArbitrary }),
  fc.record({ kind: fc.constant('restore' as const), page: u32, key: keyArbitrary }),
);

const stepArbitrary: fc.Arbitrary<StepFrame> = fc
  .record({
    epoch: epochArbitrary,
    stepId: u32,
    pageOperations: fc.array(operationArbitrary, { maxLength: 40 }),
    lost: fc.array(fc.boolean(), { minLength: 40, maxLength: 40 }),
    sequences: fc.array(sequenceArbitrary, { maxLength: 4 }),
  })
  .filter(({ pageOperations, sequences }) => pageOperations.length + sequences.length > 0)
  .chain(({ epoch, stepId, pageOperations, lost, sequences }) =>
    rowsArbitrary(sequences.reduce((sum, { numTokens }) => sum + numTokens, 0)).map((hiddenStates) => ({
      kind: 'step' as const,
      epoch,
      stepId,
      hiddenSize: HIDDEN_SIZE,
      pageOperations,
      missing: [...pageOperations.keys()].filter((i) => lost[i] === true && pageOperations[i]?.kind === 'restore'),
      sequences,
      hiddenStates,
    })),
  );

const frameArbitrary: fc.Arbitrary<Frame> = fc.oneof(
  stepArbitrary,
  fc
    .record({
      epoch: epochArbitrary,
      stepId: u32,
      hiddenStates: fc.nat({ max: 5 }).chain(rowsArbitrary),
      numPageOperations: fc.nat({ max: FRAME_LIMITS.pageOperationsMax }),
    })
    .chain((fields) =>
      fc
        .subarray([...Array.from({ length: fields.numPageOperations }).keys()])
        .map((missing) => ({ ...fields, missing })),
    )
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
    pageOperations: [],
    missing: [],
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
  view.setUint32(HEADER.checksum, frameChecksum(forged), true);
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

  it('take other hidden states in their own bytes, and are then as if they had been made with them', () => {
    fc.assert(
      fc.property(stepArbitrary, (frame) => {
        const bytes = encodeFrame(frame);
        const hiddenStates = frame.hiddenStates.map((value) => value / 2 + 1);
        rewriteHiddenStates(bytes, decodeFrame(bytes) as StepFrame, hiddenStates);
        expect(bytes).toEqual(encodeFrame({ ...frame, hiddenStates }));
      }),
    );
    const bytes = encodeFrame(step(2));
    const frame = decodeFrame(bytes) as StepFrame;
    expect(() => rewriteHiddenStates(bytes, frame, frame.hiddenStates.subarray(1))).toThrow('one row for each token');
    expect(() => rewriteHiddenStates(bytes.slice(), frame, frame.hiddenStates)).toThrow('not read from these bytes');
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

  it('are refused for every flipped bit, hidden states included', () => {
    const bytes = encodeFrame(step(2));
    for (let bit = 0; bit < bytes.byteLength * 8; bit++) {
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

describe('page operations', () => {
  const KEY = { tenant: '01'.repeat(16), hash: 'ef'.repeat(16) };
  const operations: readonly PageOperation[] = [
    { kind: 'copy', page: 7, sourcePage: 8 },
    { kind: 'save', page: 9, key: KEY },
    { kind: 'restore', page: 10, key: KEY },
  ];
  const withOperations = (pageOperations: readonly PageOperation[], missing: readonly number[] = []): StepFrame => ({
    ...step(0),
    pageOperations,
    missing,
  });
  const METADATA = 48;

  it('make a step of their own', () => {
    const frame = withOperations(operations, [2]);
    expect(decodeFrame(encodeFrame(frame))).toEqual(frame);
  });

  it('are refused when a step has neither them nor sequences', () => {
    const bytes = encodeFrame({
      ...step(1),
      sequences: [],
      hiddenStates: new Float32Array(0),
      pageOperations: operations,
    });
    expect(codeOf(bytes)).toBe('decoded');
    const result = encodeFrame({ ...step(0), kind: 'result', numPageOperations: 0, missing: [] });
    expect(codeOf(forge(result, (view) => view.setUint16(HEADER.kind, 1, true)))).toBe('bad_field');
  });

  it.each([
    ['is of an unknown kind', METADATA, 4, 'bad_field'],
    ['is of kind 0', METADATA, 0, 'bad_field'],
    ['is announced and not there', HEADER.numPageOperations, 9, 'truncated'],
    ['are more than allowed', HEADER.numPageOperations, FRAME_LIMITS.pageOperationsMax + 1, 'over_limit'],
    ['copies and is missing', METADATA + 4 * (3 + 10 + 10), 0b001, 'bad_field'],
    ['saves and is missing', METADATA + 4 * (3 + 10 + 10), 0b010, 'bad_field'],
    ['does not exist and is missing', METADATA + 4 * (3 + 10 + 10), 0b1000, 'bad_field'],
  ] as const)('are refused when one %s', (_name, offset, value, code) => {
    const bytes = encodeFrame(withOperations(operations));
    expect(codeOf(forge(bytes, (view) => view.setUint32(offset, value, true)))).toBe(code);
  });

  it('are refused when the last one is cut off', () => {
    const bytes = encodeFrame(withOperations(operations.slice(0, 1)));
    expect(codeOf(forge(bytes, (view) => view.setUint32(METADATA, 3, true)))).toBe('truncated');
  });

  it('that do not exist are not missing in a result', () => {
    const bytes = encodeFrame({ ...step(0), kind: 'result', numPageOperations: 2, missing: [1] });
    expect(codeOf(forge(bytes, (view) => view.setUint32(METADATA, 0b100, true)))).toBe('bad_field');
    expect(codeOf(forge(bytes, (view) => view.setUint32(HEADER.numPageOperations, 1, true)))).toBe('bad_field');
  });

  it('are as many as agreed, and no more', () => {
    const many = (count: number): StepFrame =>
      withOperations(Array.from({ length: count }, (_, page) => ({ kind: 'save', page, key: KEY })));
    const limits: FrameLimits = { ...FRAME_LIMITS, pageOperationsMax: 5 };
    expect(decodeFrame(encodeFrame(many(5), limits), limits)).toEqual(many(5));
    expect(() => encodeFrame(many(6), limits)).toThrow(FrameError);
    expect(codeOf(encodeFrame(many(6)), limits)).toBe('over_limit');
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
  it('is the same for all lengths and alignments as in zlib', () => {
    const bytes = Uint8Array.from({ length: 64 }, (_, i) => (i * 151 + 7) & 0xff);
    for (let start = 0; start < 9; start++) {
      for (let end = start; end <= bytes.length; end++) {
        expect(crc32(bytes.subarray(start, end))).toBe(zlibCrc32(bytes.subarray(start, end)));
      }
    }
  });

  it('gives the check value of the standard, also in pieces', () => {
    const bytes = new TextEncoder().encode('123456789');
    expect(crc32(bytes)).toBe(0xcbf43926);
    expect(crc32(bytes.subarray(4), crc32(bytes.subarray(0, 4)))).toBe(0xcbf43926);
  });
});
