/**
 * Writes GGUF version 3 files for tests. Nothing is validated on purpose: a test that wants a malformed file asks for one.
 * Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
 */

/** Metadata value types that the tests need, with ggml's numbers. */
const VALUE_TYPE = { u8: 0, u32: 4, i32: 5, f32: 6, bool: 7, string: 8, array: 9, u64: 10 } as const;

/** Tensor types with ggml's numbers (`ggml_type`). */
export const GGML_TYPE = {
  F32: 0,
  F16: 1,
  Q4_0: 2,
  Q4_1: 3,
  Q5_0: 6,
  Q5_1: 7,
  Q8_0: 8,
  Q2_K: 10,
  Q4_K: 12,
  Q5_K: 13,
  Q6_K: 14,
  BF16: 30,
} as const;

export type GgmlTypeName = keyof typeof GGML_TYPE;

export type GgufValue =
  | { readonly type: 'u32' | 'i32' | 'f32' | 'u64'; readonly value: number }
  | { readonly type: 'bool'; readonly value: boolean }
  | { readonly type: 'string'; readonly value: string }
  | { readonly type: 'strings'; readonly value: readonly string[] }
  | { readonly type: 'i32s'; readonly value: readonly number[] }
  | { readonly type: 'bytes'; readonly value: Uint8Array };

export interface GgufTensor {
  readonly name: string;
  /** Row-major, as in PyTorch: `[rows, cols]`. The file stores it reversed. */
  readonly shape: readonly number[];
  readonly type: GgmlTypeName;
  readonly data: Uint8Array;
}

export interface GgufContent {
  readonly metadata: ReadonlyMap<string, GgufValue>;
  readonly tensors: readonly GgufTensor[];
}

/** GGUF's default for `general.alignment`. */
const ALIGNMENT_BYTES = 32;
const GGUF_VERSION = 3;

/** Collects little-endian fields. */
class ByteSink {
  readonly #parts: Uint8Array[] = [];
  #length = 0;

  get length(): number {
    return this.#length;
  }

  bytes(part: Uint8Array): void {
    this.#parts.push(part);
    this.#length += part.length;
  }

  fixed(sizeBytes: number, write: (view: DataView) => void): void {
    const part = new Uint8Array(sizeBytes);
    write(new DataView(part.buffer));
    this.bytes(part);
  }

  u32(value: number): void {
    this.fixed(4, (view) => view.setUint32(0, value, true));
  }

  u64(value: number): void {
    this.fixed(8, (view) => view.setBigUint64(0, BigInt(value), true));
  }

  string(value: string): void {
    const encoded = new TextEncoder().encode(value);
    this.u64(encoded.length);
    this.bytes(encoded);
  }

  padTo(alignmentBytes: number): void {
    this.bytes(new Uint8Array((alignmentBytes - (this.#length % alignmentBytes)) % alignmentBytes));
  }

  concat(): Uint8Array<ArrayBuffer> {
    const whole = new Uint8Array(this.#length);
    let offset = 0;
    for (const part of this.#parts) {
      whole.set(part, offset);
      offset += part.length;
    }
    return whole;
  }
}

function writeValue(sink: ByteSink, value: GgufValue): void {
  switch (value.type) {
    case 'u32':
    case 'i32':
      sink.u32(VALUE_TYPE[value.type]);
      return sink.u32(value.value >>> 0);
    case 'u64':
      sink.u32(VALUE_TYPE.u64);
      return sink.u64(value.value);
    case 'f32':
      sink.u32(VALUE_TYPE.f32);
      return sink.fixed(4, (view) => view.setFloat32(0, value.value, true));
    case 'bool':
      sink.u32(VALUE_TYPE.bool);
      return sink.bytes(Uint8Array.of(value.value ? 1 : 0));
    case 'string':
      sink.u32(VALUE_TYPE.string);
      return sink.string(value.value);
    case 'strings':
      sink.u32(VALUE_TYPE.array);
      sink.u32(VALUE_TYPE.string);
      sink.u64(value.value.length);
      return value.value.forEach((element) => sink.string(element));
    case 'i32s':
      sink.u32(VALUE_TYPE.array);
      sink.u32(VALUE_TYPE.i32);
      sink.u64(value.value.length);
      return value.value.forEach((element) => sink.u32(element >>> 0));
    case 'bytes':
      sink.u32(VALUE_TYPE.array);
      sink.u32(VALUE_TYPE.u8);
      sink.u64(value.value.length);
      return sink.bytes(value.value);
  }
}

/** The whole file as bytes: header, metadata, tensor table, then the tensors in the given order, each aligned. */
export function encodeGguf(content: GgufContent): Uint8Array<ArrayBuffer> {
  const sink = new ByteSink();
  sink.bytes(new TextEncoder().encode('GGUF'));
  sink.u32(GGUF_VERSION);
  sink.u64(content.tensors.length);
  sink.u64(content.metadata.size);
  for (const [key, value] of content.metadata) {
    sink.string(key);
    writeValue(sink, value);
  }
  let dataOffset = 0;
  for (const tensor of content.tensors) {
    sink.string(tensor.name);
    sink.u32(tensor.shape.length);
    tensor.shape.toReversed().forEach((dimension) => sink.u64(dimension));
    sink.u32(GGML_TYPE[tensor.type]);
    sink.u64(dataOffset);
    dataOffset += Math.ceil(tensor.data.length / ALIGNMENT_BYTES) * ALIGNMENT_BYTES;
  }
  sink.padTo(ALIGNMENT_BYTES);
  for (const tensor of content.tensors) {
    sink.bytes(tensor.data);
    sink.padTo(ALIGNMENT_BYTES);
  }
  return sink.concat();
}
