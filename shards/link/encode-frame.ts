import { assert } from '../../wasm/host/assert.ts';
import { pagesForTokens } from '../kv/page-table.ts';
import { crc32 } from './crc32.ts';
import {
  checkLimit,
  FRAME_LIMITS,
  FRAME_MAGIC,
  FRAME_VERSION,
  HEADER,
  HEADER_BYTES,
  KIND_CODES,
  PAYLOAD_ALIGNMENT,
  SEQUENCE_FIXED_WORDS,
  WELCOME_STATUSES,
  type Frame,
  type FrameLimits,
  type FrameSequence,
  type HelloFrame,
} from './frame.ts';

const WORD_BYTES = 4;
const TWO_POW_32 = 2 ** 32;
/** A SHA-256 in 32-bit words. */
export const SHA256_WORDS = 8;

/** A frame before it is bytes: metadata words, then rows of hidden states. */
interface FrameParts {
  readonly numSequences: number;
  readonly metadata: Uint32Array;
  readonly hiddenSize: number;
  readonly stepId: number;
  readonly hiddenStates: Float32Array | null;
}

/**
 * The bytes of a frame, in a buffer of their own.
 * @throws FrameError `over_limit` when the receiver would refuse it.
 */
export function encodeFrame(frame: Frame, limits: FrameLimits = FRAME_LIMITS): Uint8Array<ArrayBuffer> {
  const { numSequences, metadata, hiddenSize, stepId, hiddenStates } = frameParts(frame, limits);
  const metadataEnd = HEADER_BYTES + metadata.byteLength;
  const payloadOffset = Math.ceil(metadataEnd / PAYLOAD_ALIGNMENT) * PAYLOAD_ALIGNMENT;
  const frameBytes = payloadOffset + (hiddenStates?.byteLength ?? 0);
  checkLimit('frameBytes', frameBytes, limits.frameBytesMax);
  const bytes = new Uint8Array(frameBytes);
  const view = new DataView(bytes.buffer);
  view.setUint32(HEADER.magic, FRAME_MAGIC, true);
  view.setUint16(HEADER.version, FRAME_VERSION, true);
  view.setUint16(HEADER.kind, KIND_CODES[frame.kind], true);
  view.setUint32(HEADER.frameBytes, frameBytes, true);
  view.setUint32(HEADER.epochLow, frame.epoch % TWO_POW_32, true);
  view.setUint32(HEADER.epochHigh, Math.floor(frame.epoch / TWO_POW_32), true);
  view.setUint32(HEADER.stepId, stepId, true);
  view.setUint32(HEADER.numSequences, numSequences, true);
  view.setUint32(HEADER.numRows, hiddenStates === null ? 0 : hiddenStates.length / hiddenSize, true);
  view.setUint32(HEADER.hiddenSize, hiddenSize, true);
  view.setUint32(HEADER.payloadOffset, payloadOffset, true);
  new Uint32Array(bytes.buffer, HEADER_BYTES, metadata.length).set(metadata);
  if (hiddenStates !== null) {
    new Float32Array(bytes.buffer, payloadOffset, hiddenStates.length).set(hiddenStates);
  }
  view.setUint32(HEADER.checksum, frameChecksum(bytes, payloadOffset), true);
  return bytes;
}

/**
 * Covers everything in front of the hidden states but itself. The payload is left to TCP: a flipped page number
 * corrupts another sequence, a flipped activation only its own.
 */
export function frameChecksum(bytes: Uint8Array, payloadOffset: number): number {
  const beforeChecksum = crc32(bytes.subarray(0, HEADER.checksum));
  return crc32(bytes.subarray(HEADER.checksum + WORD_BYTES, payloadOffset), beforeChecksum);
}

function frameParts(frame: Frame, limits: FrameLimits): FrameParts {
  assert(Number.isSafeInteger(frame.epoch) && frame.epoch > 0, `${frame.epoch} is not an epoch`);
  switch (frame.kind) {
    case 'step': {
      const { hiddenSize, stepId, hiddenStates, sequences } = frame;
      checkRows(hiddenStates, hiddenSize, limits);
      const numTokens = sequences.reduce((sum, sequence) => sum + sequence.numTokens, 0);
      assert(hiddenStates.length === numTokens * hiddenSize, 'a step carries one row of hidden states a token');
      const metadata = sequenceWords(sequences, limits);
      return { numSequences: sequences.length, metadata, hiddenSize, stepId, hiddenStates };
    }
    case 'result': {
      const { hiddenSize, stepId, hiddenStates } = frame;
      checkRows(hiddenStates, hiddenSize, limits);
      return { numSequences: 0, metadata: new Uint32Array(0), hiddenSize, stepId, hiddenStates };
    }
    case 'hello':
      return { numSequences: 0, metadata: helloWords(frame), hiddenSize: 0, stepId: 0, hiddenStates: null };
    case 'welcome':
      return {
        numSequences: 0,
        metadata: Uint32Array.of(WELCOME_STATUSES.indexOf(frame.status)),
        hiddenSize: 0,
        stepId: 0,
        hiddenStates: null,
      };
    default:
      return frame satisfies never;
  }
}

function checkRows(hiddenStates: Float32Array, hiddenSize: number, limits: FrameLimits): void {
  checkLimit('hiddenSize', hiddenSize, limits.hiddenSizeMax);
  assert(hiddenSize > 0 && hiddenStates.length % hiddenSize === 0, 'hidden states are not whole rows');
  checkLimit('numRows', hiddenStates.length / hiddenSize, limits.rowsMax);
}

function sequenceWords(sequences: readonly FrameSequence[], limits: FrameLimits): Uint32Array {
  checkLimit('numSequences', sequences.length, limits.sequencesMax);
  let numWords = 0;
  for (const { startPosition, numTokens, pageTable, resultRows } of sequences) {
    checkLimit('pageTable', pageTable.length, limits.pagesPerSequenceMax);
    assert(numTokens > 0, 'a sequence without tokens has no part in a step');
    assert(pageTable.length >= pagesForTokens(startPosition + numTokens), 'the page table is too short for its tokens');
    assert(resultRows.length <= numTokens, 'more result rows than tokens');
    numWords += SEQUENCE_FIXED_WORDS + pageTable.length + resultRows.length;
  }
  const words = new Uint32Array(numWords);
  let offset = 0;
  for (const { sequenceId, startPosition, numTokens, pageTable, resultRows } of sequences) {
    words.set([sequenceId, startPosition, numTokens, pageTable.length, resultRows.length], offset);
    offset += SEQUENCE_FIXED_WORDS;
    words.set(pageTable, offset);
    offset += pageTable.length;
    words.set(resultRows, offset);
    offset += resultRows.length;
  }
  return words;
}

function helloWords(frame: HelloFrame): Uint32Array {
  assert(/^[0-9a-f]{64}$/.test(frame.manifestSha256), `${frame.manifestSha256} is not a SHA-256 in hex`);
  const words = new Uint32Array(2 + SHA256_WORDS);
  words[0] = frame.stageIndex;
  words[1] = frame.stageCount;
  for (let i = 0; i < SHA256_WORDS; i++) {
    words[2 + i] = Number.parseInt(frame.manifestSha256.slice(8 * i, 8 * i + 8), 16);
  }
  return words;
}
