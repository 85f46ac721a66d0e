import { pagesForTokens } from '../kv/page-table.ts';
import { frameChecksum, SHA256_WORDS } from './encode-frame.ts';
import {
  checkFrame as check,
  checkLimit,
  FRAME_LIMITS,
  FRAME_MAGIC,
  FRAME_VERSION,
  FrameError,
  HEADER,
  HEADER_BYTES,
  KIND_CODES,
  PAYLOAD_ALIGNMENT,
  SEQUENCE_FIXED_WORDS,
  WELCOME_STATUSES,
  type Frame,
  type FrameLimits,
  type FrameSequence,
  type StepFrame,
} from './frame.ts';
import { decodeMissing, decodePageOperations, numMissingWords } from './page-operation-words.ts';

const FLOAT_BYTES = 4;

interface Header {
  readonly kind: number;
  readonly epoch: number;
  readonly stepId: number;
  readonly numSequences: number;
  readonly numRows: number;
  readonly hiddenSize: number;
  readonly numPageOperations: number;
  readonly payloadOffset: number;
}

/**
 * Reads a frame from bytes that nobody vouches for. Page tables, rows and hidden states are views of `bytes`.
 * @throws FrameError for every input that `encodeFrame` under the same limits does not produce; nothing else.
 */
export function decodeFrame(bytes: Uint8Array<ArrayBuffer>, limits: FrameLimits = FRAME_LIMITS): Frame {
  check(bytes.byteLength >= HEADER_BYTES, 'truncated', 'there are fewer bytes than in a header');
  checkLimit('frameBytes', bytes.byteLength, limits.frameBytesMax);
  // Typed arrays can only be laid over an aligned buffer; links deliver such, anything else is copied.
  const aligned = bytes.byteOffset % PAYLOAD_ALIGNMENT === 0 ? bytes : bytes.slice();
  const header = decodeHeader(aligned, limits);
  const numMetadataWords = (header.payloadOffset - HEADER_BYTES) / Uint32Array.BYTES_PER_ELEMENT;
  const words = new Uint32Array(aligned.buffer, aligned.byteOffset + HEADER_BYTES, numMetadataWords);
  const { epoch, stepId, hiddenSize } = header;
  switch (header.kind) {
    case KIND_CODES.step:
      return {
        kind: 'step',
        epoch,
        stepId,
        hiddenSize,
        ...decodeStep(words, header, limits),
        hiddenStates: payload(aligned, header),
      };
    case KIND_CODES.result: {
      check(header.numSequences === 0, 'bad_field', 'a result has no sequences');
      const { numPageOperations } = header;
      const missing = decodeMissing(words, numPageOperations, () => true);
      checkPadding(words, numMissingWords(numPageOperations));
      return {
        kind: 'result',
        epoch,
        stepId,
        hiddenSize,
        numPageOperations,
        missing,
        hiddenStates: payload(aligned, header),
      };
    }
    case KIND_CODES.hello:
      checkControl(header, words, 2 + SHA256_WORDS);
      return decodeHello(epoch, words);
    case KIND_CODES.welcome: {
      checkControl(header, words, 1);
      const status = WELCOME_STATUSES[words[0] as number];
      check(status !== undefined, 'bad_field', `welcome status ${words[0]} is unknown`);
      return { kind: 'welcome', epoch, status };
    }
    default:
      throw new FrameError('bad_kind', `frame: kind ${header.kind} is unknown`);
  }
}

function decodeHeader(bytes: Uint8Array<ArrayBuffer>, limits: FrameLimits): Header {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const word = (offset: number): number => view.getUint32(offset, true);
  check(word(HEADER.magic) === FRAME_MAGIC, 'bad_magic', 'this is no frame');
  const version = view.getUint16(HEADER.version, true);
  if (version !== FRAME_VERSION) {
    throw new FrameError('bad_version', `frame: version ${version}, this stage speaks ${FRAME_VERSION}`);
  }
  check(word(HEADER.frameBytes) === bytes.byteLength, 'bad_length', 'the length is not the one in the header');
  const payloadOffset = word(HEADER.payloadOffset);
  check(
    payloadOffset >= HEADER_BYTES && payloadOffset <= bytes.byteLength && payloadOffset % PAYLOAD_ALIGNMENT === 0,
    'bad_length',
    'the payload cannot start there',
  );
  check(word(HEADER.checksum) === frameChecksum(bytes), 'bad_checksum', 'the checksum is wrong');
  const header: Header = {
    kind: view.getUint16(HEADER.kind, true),
    epoch: word(HEADER.epochHigh) * 2 ** 32 + word(HEADER.epochLow),
    stepId: word(HEADER.stepId),
    numSequences: word(HEADER.numSequences),
    numRows: word(HEADER.numRows),
    hiddenSize: word(HEADER.hiddenSize),
    numPageOperations: word(HEADER.numPageOperations),
    payloadOffset,
  };
  check(Number.isSafeInteger(header.epoch) && header.epoch > 0, 'bad_field', 'the epoch is out of range');
  checkLimit('hiddenSize', header.hiddenSize, limits.hiddenSizeMax);
  checkLimit('numRows', header.numRows, limits.rowsMax);
  checkLimit('numSequences', header.numSequences, limits.sequencesMax);
  checkLimit('numPageOperations', header.numPageOperations, limits.pageOperationsMax);
  const payloadBytes = header.numRows * header.hiddenSize * FLOAT_BYTES;
  check(payloadOffset + payloadBytes === bytes.byteLength, 'bad_length', 'the rows do not fill the payload');
  return header;
}

/** A view `[numRows, hiddenSize]`; `decodeHeader` has checked that it fills the frame. */
function payload(bytes: Uint8Array<ArrayBuffer>, header: Header): Float32Array<ArrayBuffer> {
  check(header.hiddenSize > 0, 'bad_field', 'hiddenSize is 0');
  return new Float32Array(bytes.buffer, bytes.byteOffset + header.payloadOffset, header.numRows * header.hiddenSize);
}

/** Bytes between the last word and the payload are padding and must be zero: one frame, one encoding. */
function checkPadding(words: Uint32Array, numUsed: number): void {
  check(words.length - numUsed < PAYLOAD_ALIGNMENT / FLOAT_BYTES, 'bad_length', 'metadata is longer than it says');
  for (let i = numUsed; i < words.length; i++) {
    check(words[i] === 0, 'bad_field', 'padding is not zero');
  }
}

function checkControl(header: Header, words: Uint32Array, numWords: number): void {
  check(header.numRows === 0 && header.hiddenSize === 0, 'bad_field', 'a control frame carries no rows');
  const belongsToStep = header.numSequences > 0 || header.stepId > 0 || header.numPageOperations > 0;
  check(!belongsToStep, 'bad_field', 'a control frame belongs to no step');
  check(words.length >= numWords, 'truncated', 'a control frame is too short');
  checkPadding(words, numWords);
}

function decodeStep(
  words: Uint32Array,
  header: Header,
  limits: FrameLimits,
): Pick<StepFrame, 'pageOperations' | 'missing' | 'sequences'> {
  const { numPageOperations, numSequences } = header;
  check(numPageOperations > 0 || numSequences > 0, 'bad_field', 'a step has nothing to do');
  if (numPageOperations === 0) {
    return { pageOperations: [], missing: [], sequences: decodeSequences(words, 0, header, limits) };
  }
  const { pageOperations, numWords } = decodePageOperations(words, numPageOperations);
  const isRestore = (index: number): boolean => pageOperations[index]?.kind === 'restore';
  const missing = decodeMissing(words.subarray(numWords), numPageOperations, isRestore);
  const sequences = decodeSequences(words, numWords + numMissingWords(numPageOperations), header, limits);
  return { pageOperations, missing, sequences };
}

/** @param start of the first sequence in `words` */
function decodeSequences(words: Uint32Array, start: number, header: Header, limits: FrameLimits): FrameSequence[] {
  const sequences: FrameSequence[] = [];
  let offset = start;
  let numTokensTotal = 0;
  for (let i = 0; i < header.numSequences; i++) {
    check(offset + SEQUENCE_FIXED_WORDS <= words.length, 'truncated', 'a sequence is cut off');
    const sequenceId = words[offset] as number;
    const startPosition = words[offset + 1] as number;
    const numTokens = words[offset + 2] as number;
    const numPages = words[offset + 3] as number;
    const numResultRows = words[offset + 4] as number;
    offset += SEQUENCE_FIXED_WORDS;
    checkLimit('pageTable', numPages, limits.pagesPerSequenceMax);
    check(numResultRows <= numTokens, 'bad_field', 'a sequence wants more rows than it has tokens');
    check(offset + numPages + numResultRows <= words.length, 'truncated', 'a sequence is cut off');
    check(numTokens > 0, 'bad_field', 'a sequence has no tokens');
    check(pagesForTokens(startPosition + numTokens) <= numPages, 'bad_field', 'a sequence lacks pages');
    const pageTable = words.subarray(offset, offset + numPages);
    const resultRows = words.subarray(offset + numPages, offset + numPages + numResultRows);
    checkAscending(resultRows, numTokens);
    offset += numPages + numResultRows;
    numTokensTotal += numTokens;
    sequences.push({ sequenceId, startPosition, numTokens, pageTable, resultRows });
  }
  check(numTokensTotal === header.numRows, 'bad_length', 'tokens and rows of hidden states differ in number');
  checkPadding(words, offset);
  return sequences;
}

function checkAscending(rows: Uint32Array, numTokens: number): void {
  let previous = -1;
  for (let i = 0; i < rows.length; i++) {
    const row = rows[i] as number;
    check(row > previous && row < numTokens, 'bad_field', 'result rows are not ascending token indices');
    previous = row;
  }
}

function decodeHello(epoch: number, words: Uint32Array): Frame {
  const stageIndex = words[0] as number;
  const stageCount = words[1] as number;
  check(stageIndex < stageCount, 'bad_field', `stage ${stageIndex} of ${stageCount} does not exist`);
  const manifestSha256 = Array.from(words.subarray(2, 2 + SHA256_WORDS), (word) =>
    word.toString(16).padStart(8, '0'),
  ).join('');
  return { kind: 'hello', epoch, stageIndex, stageCount, manifestSha256 };
}
