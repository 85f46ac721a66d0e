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
import { numMissingWords, pageOperationWords, writeMissing } from './page-operation-words.ts';

const WORD_BYTES = 4;
const TWO_POW_32 = 2 ** 32;
const NO_WORDS = new Uint32Array(0);
/** A SHA-256 in 32-bit words. */
export const SHA256_WORDS = 8;

/** What a frame needs of its header beside kind and epoch, and what writes the words behind it. */
interface FrameParts {
  readonly numPageOperations: number;
  readonly numSequences: number;
  readonly numWords: number;
  /** Writes `numWords` words of metadata from `offset` on. */
  readonly write: (words: Uint32Array, offset: number) => void;
  readonly hiddenSize: number;
  readonly stepId: number;
  readonly hiddenStates: Float32Array | null;
}

/**
 * The bytes of a frame, in a buffer of their own.
 * @throws FrameError `over_limit` when the receiver would refuse it.
 */
export function encodeFrame(frame: Frame, limits: FrameLimits = FRAME_LIMITS): Uint8Array<ArrayBuffer> {
  const { numPageOperations, numSequences, numWords, write, hiddenSize, stepId, hiddenStates } = frameParts(
    frame,
    limits,
  );
  const metadataEnd = HEADER_BYTES + numWords * WORD_BYTES;
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
  write(new Uint32Array(bytes.buffer, 0, metadataEnd / WORD_BYTES), HEADER_BYTES / WORD_BYTES);
  if (hiddenStates !== null) {
    new Float32Array(bytes.buffer, payloadOffset, hiddenStates.length).set(hiddenStates);
  }
  view.setUint32(HEADER.checksum, frameChecksum(bytes), true);
  return bytes;
}

/**
 * The frame that a stage passes on: the one that came, with other hidden states, in the very bytes that it came in. Nothing
 * else of a step changes on its way unless a page is found to be missing, so nothing else is written.
 * @param bytes of `frame`, which are the receiver's from here on
 * @param hiddenStates as many as the frame has
 */
export function rewriteHiddenStates(
  bytes: Uint8Array<ArrayBuffer>,
  frame: StepFrame,
  hiddenStates: Float32Array,
): void {
  assert(frame.hiddenStates.buffer === bytes.buffer, 'the frame was not read from these bytes');
  assert(frame.hiddenStates.length === hiddenStates.length, 'a step has one row for each token at every stage');
  frame.hiddenStates.set(hiddenStates);
  new DataView(bytes.buffer, bytes.byteOffset).setUint32(HEADER.checksum, frameChecksum(bytes), true);
}

/** Covers all of a frame but itself: a flipped page number corrupts another sequence, a flipped activation its own. */
export function frameChecksum(bytes: Uint8Array): number {
  const beforeChecksum = crc32(bytes.subarray(0, HEADER.checksum));
  return crc32(bytes.subarray(HEADER.checksum + WORD_BYTES), beforeChecksum);
}

const NO_PARTS: FrameParts = {
  numPageOperations: 0,
  numSequences: 0,
  numWords: 0,
  write() {},
  hiddenSize: 0,
  stepId: 0,
  hiddenStates: null,
};

function frameParts(frame: Frame, limits: FrameLimits): FrameParts {
  assert(Number.isSafeInteger(frame.epoch) && frame.epoch > 0, 'an epoch is a positive safe integer');
  switch (frame.kind) {
    case 'step':
      return stepParts(frame, limits);
    case 'result': {
      const { hiddenSize, stepId, hiddenStates, numPageOperations, missing } = frame;
      checkRows(hiddenStates, hiddenSize, limits);
      checkLimit('numPageOperations', numPageOperations, limits.pageOperationsMax);
      return {
        numPageOperations,
        numSequences: 0,
        numWords: numMissingWords(numPageOperations),
        write: (words, offset) => writeMissing(words, offset, missing, numPageOperations),
        hiddenSize,
        stepId,
        hiddenStates,
      };
    }
    case 'hello':
      return { ...NO_PARTS, ...fixedWords(helloWords(frame)) };
    case 'welcome':
      return { ...NO_PARTS, ...fixedWords(Uint32Array.of(WELCOME_STATUSES.indexOf(frame.status))) };
    default:
      return frame satisfies never;
  }
}

function fixedWords(values: Uint32Array): Pick<FrameParts, 'numWords' | 'write'> {
  return { numWords: values.length, write: (words, offset) => words.set(values, offset) };
}

function stepParts(frame: StepFrame, limits: FrameLimits): FrameParts {
  const { hiddenSize, stepId, hiddenStates, pageOperations, missing, sequences } = frame;
  checkRows(hiddenStates, hiddenSize, limits);
  checkLimit('numPageOperations', pageOperations.length, limits.pageOperationsMax);
  assert(pageOperations.length > 0 || sequences.length > 0, 'a step without anything to do');
  const numSequenceWords = countSequenceWords(sequences, hiddenStates.length / hiddenSize, limits);
  const numPageOperations = pageOperations.length;
  const operationWords = numPageOperations === 0 ? NO_WORDS : pageOperationWords(pageOperations);
  const missingStart = operationWords.length;
  const sequencesStart = missingStart + numMissingWords(numPageOperations);
  return {
    numPageOperations,
    numSequences: sequences.length,
    numWords: sequencesStart + numSequenceWords,
    write(words, offset) {
      words.set(operationWords, offset);
      writeMissing(words, offset + missingStart, missing, numPageOperations);
      writeSequences(words, offset + sequencesStart, sequences);
    },
    hiddenSize,
    stepId,
    hiddenStates,
  };
}

function checkRows(hiddenStates: Float32Array, hiddenSize: number, limits: FrameLimits): void {
  checkLimit('hiddenSize', hiddenSize, limits.hiddenSizeMax);
  assert(hiddenSize > 0 && hiddenStates.length % hiddenSize === 0, 'hidden states are not whole rows');
  checkLimit('numRows', hiddenStates.length / hiddenSize, limits.rowsMax);
}

function countSequenceWords(sequences: readonly FrameSequence[], numRows: number, limits: FrameLimits): number {
  checkLimit('numSequences', sequences.length, limits.sequencesMax);
  let numWords = 0;
  let numTokensTotal = 0;
  for (const { startPosition, numTokens, pageTable, resultRows } of sequences) {
    checkLimit('pageTable', pageTable.length, limits.pagesPerSequenceMax);
    assert(numTokens > 0, 'a sequence without tokens has no part in a step');
    assert(pageTable.length >= pagesForTokens(startPosition + numTokens), 'the page table is too short for its tokens');
    assert(resultRows.length <= numTokens, 'more result rows than tokens');
    numWords += SEQUENCE_FIXED_WORDS + pageTable.length + resultRows.length;
    numTokensTotal += numTokens;
  }
  assert(numTokensTotal === numRows, 'a step carries one row of hidden states a token');
  return numWords;
}

function writeSequences(words: Uint32Array, start: number, sequences: readonly FrameSequence[]): void {
  let offset = start;
  for (const { sequenceId, startPosition, numTokens, pageTable, resultRows } of sequences) {
    words[offset++] = sequenceId;
    words[offset++] = startPosition;
    words[offset++] = numTokens;
    words[offset++] = pageTable.length;
    words[offset++] = resultRows.length;
    words.set(pageTable, offset);
    offset += pageTable.length;
    words.set(resultRows, offset);
    offset += resultRows.length;
  }
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
