import * as fc from 'fast-check';
import { beforeAll, describe, expect, it } from 'vitest';
import type { AssetSource } from '../../platform/assets.ts';
import type { Manifest, ManifestTensor, StageFile } from '../manifest.ts';
import {
  FETCHES_IN_FLIGHT_MAX,
  loadWeights,
  sha256Hex,
  WeightLoadError,
  type LoadWeightsOptions,
} from '../weight-loader.ts';

/** Two layers: one tensor over two files, one file with two tensors and a gap, and a head. */
const FILE_BYTES = { 'l0-a.bin': 64, 'l0-b.bin': 80, 'l1.bin': 48, 'head.bin': 32 } as const;

const contents = new Map<string, Uint8Array<ArrayBuffer>>(
  Object.entries(FILE_BYTES).map(([name, bytes], salt) => [
    name,
    Uint8Array.from({ length: bytes }, (_, i) => i * 7 + salt),
  ]),
);

const EXTENTS: Readonly<Record<string, ManifestTensor['extents']>> = {
  split: [
    { file: 'l0-a.bin', offset: 16, bytes: 48 },
    { file: 'l0-b.bin', offset: 0, bytes: 16 },
  ],
  beside: [{ file: 'l0-b.bin', offset: 32, bytes: 40 }],
  other: [{ file: 'l1.bin', offset: 0, bytes: 48 }],
  embedding: [{ file: 'head.bin', offset: 0, bytes: 32 }],
};

function expectedBytes(name: string): Uint8Array<ArrayBuffer> {
  const runs = (EXTENTS[name] ?? []).map(({ file, offset, bytes }) =>
    contents.get(file)?.slice(offset, offset + bytes),
  );
  return Uint8Array.from(runs.flatMap((run) => Array.from(run ?? [])));
}

function fileOf(name: string, part: StageFile['part']): StageFile {
  return { name, bytes: FILE_BYTES[name as keyof typeof FILE_BYTES], sha256: '', part };
}

let manifest: Manifest;
beforeAll(async () => {
  const tensors = await Promise.all(
    Object.entries(EXTENTS).map(async ([name, extents]) => {
      const sha256 = await sha256Hex(expectedBytes(name));
      return { name, shape: [], format: 'f32' as const, sha256, extents };
    }),
  );
  const files = [fileOf('l0-a.bin', 0), fileOf('l0-b.bin', 0), fileOf('l1.bin', 1), fileOf('head.bin', 'head')];
  manifest = { files, tensors } as unknown as Manifest;
});

/** Serves files in pieces of the given sizes, over and over. */
function assetsInPieces(
  files: ReadonlyMap<string, Uint8Array<ArrayBuffer>>,
  sizes: readonly number[] = [5],
): AssetSource {
  return {
    open(name) {
      const bytes = files.get(name);
      if (bytes === undefined) {
        return Promise.resolve(null);
      }
      let offset = 0;
      let piece = 0;
      const pull = (controller: ReadableStreamDefaultController<Uint8Array>): void => {
        if (offset >= bytes.byteLength) {
          controller.close();
          return;
        }
        const size = sizes[piece++ % sizes.length] ?? 1;
        controller.enqueue(bytes.slice(offset, offset + size));
        offset += size;
      };
      return Promise.resolve(new ReadableStream<Uint8Array>({ pull }));
    },
  };
}

function load(overrides: Partial<LoadWeightsOptions>): Promise<ReadonlyMap<string, Uint8Array<ArrayBuffer>>> {
  const views = new Map<string, Uint8Array<ArrayBuffer>>();
  const weightView = (name: string): Uint8Array<ArrayBuffer> => {
    const view = new Uint8Array(expectedBytes(name).byteLength);
    views.set(name, view);
    return view;
  };
  const defaults = { manifest, layerStart: 0, layerEnd: 2, isHead: true, assets: assetsInPieces(contents), weightView };
  return loadWeights({ ...defaults, ...overrides }).then(() => views);
}

async function codeOf(overrides: Partial<LoadWeightsOptions>): Promise<string> {
  const thrown: unknown = await load(overrides).then(
    () => 'loaded',
    (error: unknown) => error,
  );
  return thrown instanceof WeightLoadError ? thrown.code : String(thrown);
}

describe('loadWeights', () => {
  it('puts every byte in its place, however the files arrive in pieces', async () => {
    const sizes = fc.array(fc.integer({ min: 1, max: 100 }), { minLength: 1, maxLength: 5 });
    await fc.assert(
      fc.asyncProperty(sizes, async (pieceSizes) => {
        const views = await load({ assets: assetsInPieces(contents, pieceSizes) });
        for (const name of Object.keys(EXTENTS)) {
          expect(views.get(name)).toEqual(expectedBytes(name));
        }
      }),
    );
  });

  it('reads only the files of its layers, each once, a few at a time', async () => {
    const opened: string[] = [];
    let numOpen = 0;
    let numOpenMax = 0;
    const source = assetsInPieces(contents);
    const assets: AssetSource = {
      async open(name) {
        opened.push(name);
        numOpenMax = Math.max(numOpenMax, ++numOpen);
        const stream = await source.open(name);
        numOpen--;
        return stream;
      },
    };
    const views = await load({ assets, layerStart: 1, layerEnd: 2, isHead: false });
    expect(opened).toEqual(['l1.bin']);
    expect([...views.keys()]).toEqual(['other']);
    await load({ assets });
    expect(opened.toSorted((a, b) => a.localeCompare(b))).toEqual([
      'head.bin',
      'l0-a.bin',
      'l0-b.bin',
      'l1.bin',
      'l1.bin',
    ]);
    expect(numOpenMax).toBeLessThanOrEqual(FETCHES_IN_FLIGHT_MAX);
  });

  it('refuses files that are missing, cut short, too long or changed', async () => {
    const change = (name: string, bytes: Uint8Array<ArrayBuffer>): Partial<LoadWeightsOptions> => ({
      assets: assetsInPieces(new Map([...contents, [name, bytes]])),
    });
    const l1 = contents.get('l1.bin') ?? new Uint8Array();
    expect(await codeOf({})).toBe('loaded');
    expect(await codeOf({ assets: assetsInPieces(new Map()) })).toBe('file_missing');
    expect(await codeOf(change('l1.bin', l1.slice(0, -1)))).toBe('file_length');
    expect(await codeOf(change('l1.bin', Uint8Array.from([...l1, 0])))).toBe('file_length');
    expect(
      await codeOf(
        change(
          'l1.bin',
          l1.map((byte, i) => (i === 40 ? byte ^ 1 : byte)),
        ),
      ),
    ).toBe('hash_mismatch');
  });

  it('refuses a manifest whose extents do not fit', async () => {
    const withExtents = (name: string, extents: ManifestTensor['extents']): Partial<LoadWeightsOptions> => ({
      manifest: {
        ...manifest,
        tensors: manifest.tensors.map((tensor) => (tensor.name === name ? { ...tensor, extents } : tensor)),
      },
    });
    const overlap = [{ file: 'l0-b.bin', offset: 8, bytes: 40 }];
    const overrun = [{ file: 'l0-b.bin', offset: 48, bytes: 40 }];
    const short = [{ file: 'l0-b.bin', offset: 32, bytes: 39 }];
    for (const extents of [overlap, overrun, short]) {
      expect(await codeOf(withExtents('beside', extents))).toBe('bad_manifest');
    }
    const acrossParts = [...(EXTENTS['split'] ?? []).slice(0, 1), { file: 'l1.bin', offset: 0, bytes: 16 }];
    expect(await codeOf({ ...withExtents('split', acrossParts), layerEnd: 1 })).toBe('bad_manifest');
  });
});
