/** What crosses a link between two stages. `docs/protocol.md` draws the bytes. */
import { PAGE_OPERATIONS_MAX, type PageOperation } from './page-operation.ts';

/** Bump when any byte changes its meaning; a neighbour that speaks another version is refused at hello. */
export const FRAME_VERSION = 2;

/** Reads `LMNF` in a hex dump. */
export const FRAME_MAGIC = 0x464e4d4c;

export const HEADER_BYTES = 48;

/** Hidden states start at a multiple of this, so that a received frame is read in place as floats. */
export const PAYLOAD_ALIGNMENT = 16;

/** Offsets of the header's fields, in bytes. All are little-endian u32 but `version` and `kind`, which are u16. */
export const HEADER = {
  magic: 0,
  version: 4,
  kind: 6,
  frameBytes: 8,
  checksum: 12,
  epochLow: 16,
  epochHigh: 20,
  stepId: 24,
  numSequences: 28,
  numRows: 32,
  hiddenSize: 36,
  payloadOffset: 40,
  numPageOperations: 44,
} as const;

/** Words in front of a sequence's page table and result rows. */
export const SEQUENCE_FIXED_WORDS = 5;

export const KIND_CODES = { step: 1, result: 2, hello: 3, welcome: 4 } as const;

/** One sequence's part of a step. */
export interface FrameSequence {
  readonly sequenceId: number;
  readonly startPosition: number;
  readonly numTokens: number;
  /** Covers `startPosition + numTokens` positions. */
  readonly pageTable: ArrayLike<number>;
  /** Which of its tokens' hidden states the head wants back after the last layer: ascending, in `[0, numTokens)`. */
  readonly resultRows: ArrayLike<number>;
}

/** Page operations and a micro-batch, either of which may be empty, on their way through the stages. */
export interface StepFrame {
  readonly kind: 'step';
  readonly epoch: number;
  /** Counts up from 1 inside an epoch, without gaps. */
  readonly stepId: number;
  readonly hiddenSize: number;
  /** Carried out in order by every stage, before it computes the sequences. */
  readonly pageOperations: readonly PageOperation[];
  /** Which of them were to restore a page that some stage so far does not have; ascending. */
  readonly missing: readonly number[];
  readonly sequences: readonly FrameSequence[];
  /** `[sum of numTokens, hiddenSize]`, in order of the sequences. */
  readonly hiddenStates: Float32Array<ArrayBuffer>;
}

/** What the last stage sends to the head: the wanted rows, and which pages are missing. */
export interface ResultFrame {
  readonly kind: 'result';
  readonly epoch: number;
  readonly stepId: number;
  readonly hiddenSize: number;
  /** Of the step. */
  readonly numPageOperations: number;
  /** Which of them were to restore a page that some stage does not have; ascending. */
  readonly missing: readonly number[];
  /** `[sum of resultRows, hiddenSize]`. */
  readonly hiddenStates: Float32Array<ArrayBuffer>;
}

/** The first frame of a link, from the stage that opened it. */
export interface HelloFrame {
  readonly kind: 'hello';
  readonly epoch: number;
  /** Of the sender. */
  readonly stageIndex: number;
  readonly stageCount: number;
  /** Lower-case hex. */
  readonly manifestSha256: string;
}

/** Why a hello is refused, or that it is not. */
export const WELCOME_STATUSES = ['accepted', 'manifest_mismatch', 'wrong_neighbour', 'version_mismatch'] as const;
export type WelcomeStatus = (typeof WELCOME_STATUSES)[number];

/** The answer to a hello. */
export interface WelcomeFrame {
  readonly kind: 'welcome';
  readonly epoch: number;
  readonly status: WelcomeStatus;
}

export type Frame = StepFrame | ResultFrame | HelloFrame | WelcomeFrame;

export interface FrameLimits {
  /** A WebSocket message may be 32 MiB in Workers; 512 tokens of 4096 floats are 8 MiB. */
  readonly frameBytesMax: number;
  /** Sequences in one micro-batch. Beyond some tens a step gains nothing from more. */
  readonly sequencesMax: number;
  /** Rows of hidden states, hence tokens of one step. */
  readonly rowsMax: number;
  /** Pages of one sequence: 131072 tokens. */
  readonly pagesPerSequenceMax: number;
  readonly hiddenSizeMax: number;
  readonly pageOperationsMax: number;
}

export const FRAME_LIMITS: FrameLimits = {
  frameBytesMax: 16 * 2 ** 20,
  sequencesMax: 256,
  rowsMax: 2048,
  pagesPerSequenceMax: 8192,
  hiddenSizeMax: 16384,
  pageOperationsMax: PAGE_OPERATIONS_MAX,
};

export type FrameErrorCode =
  'truncated' | 'bad_magic' | 'bad_version' | 'bad_kind' | 'bad_length' | 'bad_checksum' | 'bad_field' | 'over_limit';

/** A frame that is not what it says it is, or that is larger than agreed. The link it came by is closed. */
export class FrameError extends Error {
  override readonly name = 'FrameError';
  readonly code: FrameErrorCode;

  constructor(code: FrameErrorCode, message: string) {
    super(message);
    this.code = code;
  }
}

/** Throws `FrameError` with code `over_limit` when a count exceeds its limit; both ends of a link check. */
export function checkLimit(name: string, count: number, max: number): void {
  if (count > max) {
    throw new FrameError('over_limit', `frame: ${name} is ${count}, at most ${max} are allowed`);
  }
}

/** Throws `FrameError` unless what a receiver relies on holds. */
export function checkFrame(condition: boolean, code: FrameErrorCode, message: string): asserts condition {
  if (!condition) {
    throw new FrameError(code, `frame: ${message}`);
  }
}
