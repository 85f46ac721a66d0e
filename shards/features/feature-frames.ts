/**
 * The stream of features between head shard and gateway, little-endian. It begins with the feature size, u32; then come
 * frames of a kind, u32, and a number, u32:
 *
 *     row    index of a text          its features, f32 [featureSize]
 *     end    tokens of all texts
 *     error  length in bytes          JSON of a `FeatureFailure`
 */
import type { FeatureFailure } from './feature-protocol.ts';

const WORD_BYTES = 4;
const HEAD_BYTES = 2 * WORD_BYTES;
const ROW = 1;
const END = 2;
const ERROR = 3;

/** Values in a row at most: 16 parts of a hidden size of 8192. A stream that says more is none. */
export const FEATURE_SIZE_MAX = 131_072;
/** Characters of an error's message: a sentence, perhaps with what was thrown. The rest is cut off. */
const FEATURE_ERROR_MESSAGE_MAX = 2000;
/** Longest JSON of an error: each character of the message may take six bytes, and the other fields some. */
export const FEATURE_ERROR_BYTES_MAX = 16_384;

export type FeatureFrame =
  | { readonly kind: 'row'; readonly textIndex: number; readonly features: Float32Array<ArrayBuffer> }
  | { readonly kind: 'end'; readonly numTokens: number }
  | { readonly kind: 'error'; readonly failure: FeatureFailure };

/** The stream broke off, or what came is not a frame. */
export class FeatureFrameError extends Error {
  override readonly name = 'FeatureFrameError';
}

export function encodeFeatureSize(featureSize: number): Uint8Array<ArrayBuffer> {
  return words(featureSize, 0).subarray(0, WORD_BYTES);
}

export function encodeFeatureFrame(frame: FeatureFrame): Uint8Array<ArrayBuffer> {
  if (frame.kind === 'end') {
    return words(END, frame.numTokens);
  }
  if (frame.kind === 'error') {
    const { message } = frame.failure;
    const failure = { ...frame.failure, message: message.slice(0, FEATURE_ERROR_MESSAGE_MAX) };
    const json = new TextEncoder().encode(JSON.stringify(failure));
    return concatenate(words(ERROR, json.length), json);
  }
  const { buffer, byteOffset, byteLength } = frame.features;
  // Every machine that runs Workers or Node is little-endian.
  return concatenate(words(ROW, frame.textIndex), new Uint8Array(buffer, byteOffset, byteLength));
}

function concatenate(first: Uint8Array, second: Uint8Array): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(first.length + second.length);
  bytes.set(first);
  bytes.set(second, first.length);
  return bytes;
}

function words(first: number, second: number): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(HEAD_BYTES);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, first, true);
  view.setUint32(WORD_BYTES, second, true);
  return bytes;
}

/** Puts frames together from pieces of any length. Holds at most one frame and one piece. */
export class FeatureFrameReader {
  #held = new Uint8Array(0);
  #featureSize: number | null = null;

  /** @throws FeatureFrameError */
  *push(piece: Uint8Array): Generator<FeatureFrame> {
    const bytes = this.#held.length === 0 ? piece : concatenate(this.#held, piece);
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    let offset = 0;
    if (this.#featureSize === null && bytes.length >= WORD_BYTES) {
      this.#featureSize = view.getUint32(0, true);
      check(this.#featureSize <= FEATURE_SIZE_MAX, `${this.#featureSize} features of a text`);
      offset = WORD_BYTES;
    }
    while (bytes.length - offset >= HEAD_BYTES) {
      const [kind, number] = [view.getUint32(offset, true), view.getUint32(offset + WORD_BYTES, true)];
      const end = offset + HEAD_BYTES + this.#payloadBytes(kind, number);
      if (bytes.length < end) {
        break;
      }
      yield decode(kind, number, copyOf(bytes, offset + HEAD_BYTES, end));
      offset = end;
    }
    this.#held = copyOf(bytes, offset, bytes.length);
  }

  #payloadBytes(kind: number, number: number): number {
    check(kind === ROW || kind === END || kind === ERROR, `a frame of kind ${kind}`);
    check(kind !== ERROR || number <= FEATURE_ERROR_BYTES_MAX, `an error of ${number} bytes`);
    return kind === ROW ? (this.#featureSize ?? 0) * WORD_BYTES : kind === ERROR ? number : 0;
  }
}

/** A copy of its own buffer: the caller's may be used again, and f32 begin at multiples of four. */
function copyOf(bytes: Uint8Array, start: number, end: number): Uint8Array<ArrayBuffer> {
  const copy = new Uint8Array(end - start);
  copy.set(bytes.subarray(start, end));
  return copy;
}

function decode(kind: number, number: number, payload: Uint8Array<ArrayBuffer>): FeatureFrame {
  if (kind === ROW) {
    return { kind: 'row', textIndex: number, features: new Float32Array(payload.buffer) };
  }
  if (kind === END) {
    return { kind: 'end', numTokens: number };
  }
  try {
    return { kind: 'error', failure: JSON.parse(new TextDecoder().decode(payload)) as FeatureFailure };
  } catch {
    throw new FeatureFrameError('an error that is not JSON');
  }
}

function check(condition: boolean, what: string): asserts condition {
  if (!condition) {
    throw new FeatureFrameError(`a stream of features has ${what}`);
  }
}
