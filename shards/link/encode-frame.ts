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
  type StepFrame,
} from './frame.ts';
import { missingWords, pageOperationWords } from './page-operation-words.ts';

const WORD_BYTES = 4;
const TWO_POW_32 = 2 ** 32;
/** A SHA-256 in 32-bit words. */
export const SHA256_WORDS = 8;

/** A frame before it is bytes: metadata words, then rows of hidden states. */
interface FrameParts {
  readonly numPageOperations: number;
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
  const { numPageOperations, numSequences, metadata, hiddenSize, stepId, hiddenStates } = frameParts(frame, limits);
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
  view.setUint32(HEADER.numPageOperations, numPageOperations, true);
  new Uint32Array(bytes.buffer, HEADER_BYTES, metadata.length).set(metadata);
  if (hiddenStates !== null) {
    new Float32Array(bytes.buffer, payloadOffset, hiddenStates.length).set(hiddenStates);
  }
  view.setUint32(HEADER.checksum, frameChecksum(bytes), true);
  return bytes;
}

/** Covers all of a frame but itself: a flipped page number corrupts another sequence, a flipped activation its own. */
export function frameChecksum(bytes: Uint8Array): number {
  const beforeChecksum = crc32(bytes.subarray(0, HEADER.checksum));
  return crc32(bytes.subarray(HEADER.checksum + WORD_BYTES), beforeChecksum);
}

const NO_PARTS: FrameParts = {
  numPageOperations: 0,
  numSequences: 0,
  metadata: new Uint32Array(0),
  hiddenSize: 0,
  stepId: 0,
  hiddenStates: null,
};

function frameParts(frame: Frame, limits: FrameLimits): FrameParts {
  assert(Number.isSafeInteger(frame.epoch) && frame.epoch > 0, `${frame.epoch} is not an epoch`);
  switch (frame.kind) {
    case 'step':
      return stepParts(frame, limits);
    case 'result': {
      const { hiddenSize, stepId, hiddenStates, numPageOperations, missing } = frame;
      checkRows(hiddenStates, hiddenSize, limits);
      checkLimit('numPageOperations', numPageOperations, limits.pageOperationsMax);
      const metadata = missingWords(missing, numPageOperations);
      return { ...NO_PARTS, numPageOperations, metadata, hiddenSize, stepId, hiddenStates };
    }
    case 'hello':
      return { ...NO_PARTS, metadata: helloWords(frame) };
    case 'welcome':
      return { ...NO_PARTS, metadata: Uint32Array.of(WELCOME_STATUSES.indexOf(frame.status)) };
    default:
      return frame satisfies never;
  }
}

function stepParts(frame: StepFrame, limits: FrameLimits): FrameParts {
  const { hiddenSize, stepId, hiddenStates, pageOperations, missing, sequences } = frame;
  checkRows(hiddenStates, hiddenSize, limits);
  checkLimit('numPageOperations', pageOperations.length, limits.pageOperationsMax);
  assert(pageOperations.length > 0 || sequences.length > 0, 'a step without anything to do');
  const numTokens = sequences.reduce((sum, sequence) => sum + sequence.numTokens, 0);
  assert(hiddenStates.length === numTokens * hiddenSize, 'a step carries one row of hidden states a token');
  const parts = [
    pageOperationWords(pageOperations),
    missingWords(missing, pageOperations.length),
    sequenceWords(sequences, limits),
  ];
  const metadata = new Uint32Array(parts.reduce((sum, { length }) => sum + length, 0));
  let offset = 0;
  for (const part of parts) {
    metadata.set(part, offset);
    offset += part.length;
  }
  const [numPageOperations, numSequences] = [pageOperations.length, sequences.length];
  return { numPageOperations, numSequences, metadata, hiddenSize, stepId, hiddenStates };
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
