/**
 * Damaged and hostile GGUF files. Goal: whatever the bytes, the converter ends soon, with a model or with a ConvertError,
 * and never allocates for a length that the file merely claims.
 */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import * as fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { conversionOutcome, isOutcome } from '../../testing/conversion-outcome.ts';
import { encodeGguf, type GgufContent, type GgufTensor, type GgufValue } from '../../testing/gguf-writer.ts';
import { tinyGgufContent } from '../../testing/tiny-model.ts';
import type { ConvertErrorCode } from '../convert-error.ts';
import { SOURCE_LIMITS } from '../limits.ts';
import { openSourceModel } from '../open-source-model.ts';

let root: string;
beforeAll(async () => (root = await mkdtemp(path.join(tmpdir(), 'lamina-hostile-'))));
afterAll(() => rm(root, { recursive: true, force: true }));

/** One layer is enough: what is tested is the reading. */
const content = tinyGgufContent({ shape: { numLayers: 1 } });
const good = encodeGguf(content);
const dataStart = good.length - content.tensors.reduce((sum, { data }) => sum + Math.ceil(data.length / 32) * 32, 0);

const outcome = (bytes: Uint8Array): Promise<ConvertErrorCode | null> =>
  conversionOutcome(path.join(root, 'case.gguf'), bytes);

function patched(offset: number, write: (view: DataView, offset: number) => void): Uint8Array {
  const bytes = good.slice();
  write(new DataView(bytes.buffer), offset);
  return bytes;
}

/** Offset behind the first occurrence of `text` in the file. */
function offsetAfter(text: string): number {
  const encoded = new TextEncoder().encode(text);
  const at = good.findIndex((_, i) => encoded.every((byte, j) => good[i + j] === byte));
  expect(at).toBeGreaterThan(0);
  return at + encoded.length;
}

it('accepts the file that the cases are made from', async () => {
  expect(await outcome(good)).toBeNull();
});

describe('a truncated file is refused', () => {
  const lengths = [0, 1, 3, 4, 7, 8, 15, 16, 23, 24, 25, 31, 100, 1000, 5000, dataStart - 1, dataStart, dataStart + 1];
  it.each([...lengths, good.length - 33])('at %d bytes', async (length) => {
    expect(await outcome(good.subarray(0, length))).toMatch(/^(malformed|unknown-format)$/);
  });

  it('when it is opened, before any weight is read', async () => {
    const source = path.join(root, 'truncated.gguf');
    await writeFile(source, good.subarray(0, good.length - 33));
    const opening = openSourceModel(source, { onSize: () => undefined, onHashed: () => undefined });
    await expect(opening).rejects.toMatchObject({
      code: 'malformed',
      message: expect.stringMatching(/fetch it again/),
    });
  });

  it('at any length', async () => {
    // The padding behind the last tensor is nobody's: 32 bytes may go.
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: 0, max: good.length - 33 }), async (length) => {
        expect(await outcome(good.subarray(0, length))).not.toBeNull();
      }),
      { numRuns: 60 },
    );
  });
});

describe('a count above its limit is refused before anything is allocated for it', () => {
  const huge = 0xffff_ffff_ffff_ffffn;
  const setU64 = (value: bigint) => (view: DataView, offset: number) => view.setBigUint64(offset, value, true);
  const keyOffset = 24;
  it.each([
    ['tensors, one too many', 8, BigInt(SOURCE_LIMITS.numTensorsMax + 1)],
    ['tensors, the largest u64', 8, huge],
    ['metadata entries, one too many', 16, BigInt(SOURCE_LIMITS.numMetadataMax + 1)],
    ['metadata entries, the largest u64', 16, huge],
    ['bytes of a key, one too many', keyOffset, BigInt(SOURCE_LIMITS.nameBytesMax + 1)],
    ['bytes of a key, the largest u64', keyOffset, huge],
    ['bytes of a string', offsetAfter('general.architecture') + 4, BigInt(SOURCE_LIMITS.stringBytesMax + 1)],
    ['tokens, one too many', offsetAfter('tokenizer.ggml.tokens') + 8, BigInt(SOURCE_LIMITS.arrayLengthMax + 1)],
    ['tokens, the largest u64', offsetAfter('tokenizer.ggml.tokens') + 8, huge],
  ])('%s', async (_name, offset, value) => {
    expect(await outcome(patched(offset, setU64(value)))).toBe('limit-exceeded');
  });

  it.each<[string, [string, GgufValue][]]>([
    ['a key', [['k'.repeat(SOURCE_LIMITS.nameBytesMax), { type: 'bool', value: true }]]],
    ['a string', [['filler', { type: 'string', value: 'x'.repeat(SOURCE_LIMITS.stringBytesMax) }]]],
    ['an array', [['filler', { type: 'bytes', value: new Uint8Array(SOURCE_LIMITS.arrayLengthMax) }]]],
    [
      'the number of entries',
      Array.from({ length: SOURCE_LIMITS.numMetadataMax - content.metadata.size }, (_, i) => [
        `filler.${i}`,
        { type: 'u32', value: i },
      ]),
    ],
  ])('but %s at its limit is read', async (_name, entries) => {
    const metadata = new Map([...content.metadata, ...entries]);
    expect(await outcome(encodeGguf({ ...content, metadata }))).toBeNull();
  });

  it('but as many tensors as the limit allows are read, and then refused by name', async () => {
    const extra = Array.from({ length: SOURCE_LIMITS.numTensorsMax - content.tensors.length }, (_, i): GgufTensor => ({
      name: `extra.${i}`,
      shape: [1],
      type: 'F32',
      data: new Uint8Array(4),
    }));
    expect(await outcome(encodeGguf({ ...content, tensors: [...content.tensors, ...extra] }))).toBe(
      'unexpected-tensor',
    );
  });

  it('elements of all arrays together', async () => {
    const bytes = new Uint8Array(SOURCE_LIMITS.arrayLengthMax);
    const metadata = new Map<string, GgufValue>(
      Array.from({ length: 5 }, (_, i) => [`array.${i}`, { type: 'bytes', value: bytes }]),
    );
    expect(await outcome(encodeGguf({ metadata, tensors: [] }))).toBe('limit-exceeded');
  });

  it('a header longer than its limit', async () => {
    const filler = 'x'.repeat(SOURCE_LIMITS.stringBytesMax);
    const metadata = new Map<string, GgufValue>(
      Array.from({ length: 25 }, (_, i) => [`filler.${i}`, { type: 'string', value: filler }]),
    );
    expect(await outcome(encodeGguf({ metadata, tensors: [] }))).toBe('limit-exceeded');
  });
});

describe('a tensor table that does not fit the file is refused', () => {
  const ropeless = offsetAfter('blk.0.attn_q.weight');
  const setU32 = (value: number) => (view: DataView, offset: number) => view.setUint32(offset, value, true);
  const setU64 = (value: bigint) => (view: DataView, offset: number) => view.setBigUint64(offset, value, true);
  // Layout behind a name: u32 dimensions, u64 for each, u32 type, u64 offset.
  const [firstDimension, type, offset] = [ropeless + 4, ropeless + 20, ropeless + 24];
  it.each([
    ['no dimensions', ropeless, setU32(0), 'malformed'],
    ['too many dimensions', ropeless, setU32(SOURCE_LIMITS.numDimensionsMax + 1), 'malformed'],
    ['a dimension of 0', firstDimension, setU64(0n), 'malformed'],
    ['a dimension of 2 ** 32', firstDimension, setU64(2n ** 32n), 'malformed'],
    ['the largest dimension', firstDimension, setU64(2n ** 64n - 1n), 'malformed'],
    ['rows of half a group', firstDimension, setU64(48n), 'malformed'],
    ['a type that ggml does not have', type, setU32(1000), 'unsupported-tensor-type'],
    ['a type that is not supported', type, setU32(10), 'unsupported-tensor-type'],
    ['an offset that is not aligned', offset, setU64(4n), 'malformed'],
    ['an offset behind the end', offset, setU64(2n ** 40n), 'malformed'],
    ['an offset that wraps around', offset, setU64(2n ** 64n - 32n), 'malformed'],
    ['an offset inside another tensor', offset, setU64(0n), 'malformed'],
  ] as const)('%s', async (_name, at, write, code) => {
    expect(await outcome(patched(at, write))).toBe(code);
  });

  it.each([
    [0, 'malformed'],
    [3, 'invalid-metadata'],
    [2 ** 20, 'invalid-metadata'],
    [2 ** 31, 'invalid-metadata'],
  ] as const)('an alignment of %d', async (alignment, code) => {
    const metadata = new Map(content.metadata).set('general.alignment', { type: 'u32', value: alignment });
    expect(await outcome(encodeGguf({ ...content, metadata }))).toBe(code);
  });

  it('two tensors or two entries of one name', async () => {
    const [first] = content.tensors;
    const tensors = [...content.tensors, first as GgufTensor];
    expect(await outcome(encodeGguf({ ...content, tensors }))).toBe('malformed');
    const twice = patched(offsetAfter('tokenizer.ggml.eos_token_id') - 12, (view, at) => view.setUint8(at, 0x62));
    expect(await outcome(twice)).toBe('malformed');
  });
});

it('reads a string that lies across the border of the reader’s buffer', async () => {
  // The GGUF reader buffers 2,000,000 bytes at a time and cuts the last string of a value there.
  const withTemplate = (padding: number): GgufContent => {
    const metadata = new Map(content.metadata);
    metadata.delete('tokenizer.chat_template');
    metadata.set('a.filler', { type: 'string', value: 'x'.repeat(padding) });
    metadata.set('b.filler', { type: 'string', value: 'x'.repeat(padding) });
    metadata.set('tokenizer.chat_template', { type: 'string', value: template });
    return { ...content, metadata };
  };
  const template = `begin${'-'.repeat(700_000)}end`;
  const source = path.join(root, 'border.gguf');
  for (const padding of [640_000, 649_000, 660_000]) {
    await writeFile(source, encodeGguf(withTemplate(padding)));
    const model = await openSourceModel(source, { onSize: () => undefined, onHashed: () => undefined });
    await model.close();
    expect(model.chat.chatTemplate).toBe(template);
  }
});

describe('fuzzed files end in a model or a ConvertError', () => {
  const edit = fc.record({ at: fc.nat(dataStart + 200), byte: fc.integer({ min: 0, max: 255 }) });
  it('with bytes changed in the header', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(edit, { minLength: 1, maxLength: 8 }), async (edits) => {
        const bytes = good.slice();
        edits.forEach(({ at, byte }) => (bytes[at] = byte));
        expect(await outcome(bytes)).toSatisfy(isOutcome);
      }),
      { numRuns: 150 },
    );
  });

  it('with a piece cut out, repeated or overwritten by 0xff', async () => {
    const piece = fc.record({ at: fc.nat(dataStart), length: fc.integer({ min: 1, max: 64 }), kind: fc.nat(2) });
    await fc.assert(
      fc.asyncProperty(piece, async ({ at, length, kind }) => {
        const [head, middle, tail] = [good.subarray(0, at), good.subarray(at, at + length), good.subarray(at + length)];
        const parts = [
          [head, tail],
          [head, middle, middle, tail],
          [head, new Uint8Array(length).fill(255), tail],
        ][kind];
        expect(await outcome(new Uint8Array(await new Blob(parts).arrayBuffer()))).toSatisfy(isOutcome);
      }),
      { numRuns: 100 },
    );
  });

  it('with nothing but random bytes behind the magic number', async () => {
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: 400 }), async (tail) => {
        const bytes = new Uint8Array(8 + tail.length);
        bytes.set(good.subarray(0, 8));
        bytes.set(tail, 8);
        expect(await outcome(bytes)).not.toBeNull();
      }),
      { numRuns: 100 },
    );
  });
});
