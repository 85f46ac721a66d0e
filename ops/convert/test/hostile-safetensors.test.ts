/** Damaged and hostile safetensors files: a model or a ConvertError, soon, and without believing any length. */
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import * as fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { conversionOutcome, isOutcome } from '../../testing/conversion-outcome.ts';
import { writeTinyHuggingFace } from '../../testing/tiny-hugging-face.ts';
import type { ConvertErrorCode } from '../convert-error.ts';
import { SOURCE_LIMITS } from '../limits.ts';
import { openSourceModel } from '../open-source-model.ts';

let root: string;
let source: string;
let good: Uint8Array;
beforeAll(async () => {
  root = await mkdtemp(path.join(tmpdir(), 'lamina-hostile-safetensors-'));
  await writeTinyHuggingFace(path.join(root, 'model'), { shape: { numLayers: 1 }, type: 'F16' });
  source = path.join(root, 'model', 'model.safetensors');
  // A copy: `slice` of what `readFile` gives would share its memory.
  good = new Uint8Array(await readFile(source));
});
afterAll(() => rm(root, { recursive: true, force: true }));

const outcome = (bytes: Uint8Array): Promise<ConvertErrorCode | null> => conversionOutcome(source, bytes);

interface Entry {
  dtype: unknown;
  shape: unknown;
  data_offsets: unknown;
}

/** The good file with a changed header. */
function withHeader(change: (header: Record<string, Entry>) => void): Uint8Array {
  const headerBytes = Number(new DataView(good.buffer, good.byteOffset).getBigUint64(0, true));
  const header = JSON.parse(new TextDecoder().decode(good.subarray(8, 8 + headerBytes))) as Record<string, Entry>;
  change(header);
  const encoded = new TextEncoder().encode(JSON.stringify(header));
  const bytes = new Uint8Array(8 + encoded.length + good.length - 8 - headerBytes);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(encoded.length), true);
  bytes.set(encoded, 8);
  bytes.set(good.subarray(8 + headerBytes), 8 + encoded.length);
  return bytes;
}

function withEntry(change: Partial<Entry>): Uint8Array {
  return withHeader((header) => {
    header['model.norm.weight'] = { ...(header['model.norm.weight'] as Entry), ...change };
  });
}

it('accepts the file that the cases are made from', async () => {
  expect(await outcome(good)).toBeNull();
  expect(await outcome(withHeader(() => undefined))).toBeNull();
});

describe('refuses', () => {
  it('a truncated file when it is opened, before any weight is read', async () => {
    await writeFile(source, good.subarray(0, good.length - 1));
    const opening = openSourceModel(source, { onSize: () => undefined, onHashed: () => undefined });
    await expect(opening).rejects.toMatchObject({
      code: 'malformed',
      message: expect.stringMatching(/fetch it again/),
    });
  });

  it('a truncated file of any length', async () => {
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: 0, max: good.length - 1 }), async (length) => {
        expect(await outcome(good.subarray(0, length))).toMatch(/^(malformed|unknown-format)$/);
      }),
      { numRuns: 60 },
    );
  });

  it.each([
    [BigInt(SOURCE_LIMITS.safetensorsHeaderBytesMax), 'malformed'],
    [BigInt(SOURCE_LIMITS.safetensorsHeaderBytesMax + 1), 'limit-exceeded'],
    [2n ** 64n - 1n, 'limit-exceeded'],
  ] as const)('a header that claims %d bytes', async (claimed, code) => {
    const bytes = good.slice();
    new DataView(bytes.buffer).setBigUint64(0, claimed, true);
    expect(await outcome(bytes)).toBe(code);
  });

  it.each<[string, Partial<Entry>, ConvertErrorCode]>([
    ['an unknown type', { dtype: 'F8_E4M3' }, 'unsupported-tensor-type'],
    ['a type from the prototype', { dtype: 'toString' }, 'unsupported-tensor-type'],
    ['a type that is no text', { dtype: 7 }, 'unsupported-tensor-type'],
    ['no shape', { shape: null }, 'malformed'],
    ['a scalar', { shape: [] }, 'malformed'],
    ['too many dimensions', { shape: [1, 1, 1, 1, 64] }, 'malformed'],
    ['a negative dimension', { shape: [-64] }, 'malformed'],
    ['a broken dimension', { shape: [64.5] }, 'malformed'],
    ['dimensions whose product overflows', { shape: [2 ** 52, 2 ** 52, 2 ** 52] }, 'malformed'],
    ['a shape larger than its place', { shape: [65] }, 'malformed'],
    ['a place behind the end', { data_offsets: [2 ** 40, 2 ** 40 + 128] }, 'malformed'],
    ['a negative place', { data_offsets: [-128, 0] }, 'malformed'],
    ['a reversed place', { data_offsets: [128, 0] }, 'malformed'],
    ['no place', { data_offsets: [] }, 'malformed'],
    ['the place of another tensor', { data_offsets: [0, 128] }, 'malformed'],
  ])('%s', async (_name, change, code) => {
    expect(await outcome(withEntry(change))).toBe(code);
  });

  it('more tensors than the limit', async () => {
    const bytes = withHeader((header) => {
      for (let i = 0; i <= SOURCE_LIMITS.numTensorsMax; i++) {
        header[`extra.${i}`] = { dtype: 'F32', shape: [1], data_offsets: [0, 4] };
      }
    });
    expect(await outcome(bytes)).toBe('limit-exceeded');
  });

  it.each(['', '[]', 'null', '{"a":null}', '{"a":{}}', '{', '"text"'])('the header %j', async (text) => {
    const encoded = new TextEncoder().encode(text);
    const bytes = new Uint8Array(8 + encoded.length);
    new DataView(bytes.buffer).setBigUint64(0, BigInt(encoded.length), true);
    bytes.set(encoded, 8);
    expect(await outcome(bytes)).toMatch(/^(malformed|unsupported-tensor-type)$/);
  });
});

it('ends in a model or a ConvertError whatever bytes of the header change', async () => {
  const edit = fc.record({ at: fc.nat(1500), byte: fc.integer({ min: 0, max: 255 }) });
  await fc.assert(
    fc.asyncProperty(fc.array(edit, { minLength: 1, maxLength: 6 }), async (edits) => {
      const bytes = good.slice();
      edits.forEach(({ at, byte }) => (bytes[at] = byte));
      expect(await outcome(bytes)).toSatisfy(isOutcome);
    }),
    { numRuns: 150 },
  );
});
