/** A manifest is believed in nothing: each field wrong in each way that matters gives a ManifestError naming the field. */
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { headTensors, layerTensors, type ModelConfig } from '../../../wasm/host/model-config.ts';
import { packedBytes } from '../../../wasm/host/pack.ts';
import { MANIFEST_VERSION, STAGE_FILE_BYTES_MAX } from '../manifest.ts';
import { ManifestError } from '../manifest-fields.ts';
import { CONFIG_LIMITS } from '../parse-config.ts';
import { parseManifest } from '../parse-manifest.ts';

const config: ModelConfig = {
  hiddenSize: 64,
  intermediateSize: 96,
  numLayers: 2,
  numQueryHeads: 4,
  numKvHeads: 2,
  headDim: 16,
  vocabSize: 300,
  rmsNormEps: 1e-5,
  ropeTheta: 10_000,
  contextLengthMax: 512,
  attentionBias: true,
  tiedEmbedding: false,
};

const SHA = 'ab'.repeat(32);

/** Any field may be anything in a test. */
interface Draft {
  [field: string]: unknown;
  config: Record<string, unknown>;
  files: Record<string, unknown>[];
  tensors: { [field: string]: unknown; extents: Record<string, unknown>[] }[];
}

/** A valid manifest, fresh for each test: one file for each part, tensors one after the other at multiples of 16. */
function draft(): Draft {
  const parts = ['head', 0, 1] as const;
  const files: Draft['files'] = [];
  const tensors: Draft['tensors'] = [];
  for (const part of parts) {
    const name = part === 'head' ? 'head-00.bin' : `layer-00${part}-00.bin`;
    let offset = 0;
    for (const spec of part === 'head' ? headTensors(config) : layerTensors(config, part)) {
      const bytes = packedBytes(spec.format, spec.shape);
      tensors.push({ ...spec, shape: [...spec.shape], sha256: SHA, extents: [{ file: name, offset, bytes }] });
      offset += Math.ceil(bytes / 16) * 16;
    }
    files.push({ name, bytes: offset, sha256: SHA, part });
  }
  return {
    version: MANIFEST_VERSION,
    model: 'tiny',
    architecture: 'llama',
    sourceSha256: SHA,
    config: { ...config },
    files,
    tensors,
  };
}

function errorOf(json: unknown): { code: string; message: string } | null {
  try {
    parseManifest(json);
    return null;
  } catch (error) {
    if (error instanceof ManifestError) {
      return { code: error.code, message: error.message };
    }
    throw error;
  }
}

/** The error after a change of the valid manifest. */
function errorAfter(change: (manifest: Draft) => void): ReturnType<typeof errorOf> {
  const manifest = draft();
  change(manifest);
  return errorOf(JSON.parse(JSON.stringify(manifest)));
}

function invalid(words: string): unknown {
  return { code: 'invalid', message: expect.stringContaining(words) as unknown };
}

it('reads a valid manifest as it is', () => {
  const manifest = draft();
  expect(parseManifest(JSON.parse(JSON.stringify(manifest)))).toEqual(manifest);
});

it.each([0, 2, 1.5])('refuses version %d by number', (version) => {
  const error = errorAfter((manifest) => (manifest['version'] = version));
  expect(error).toEqual({ code: 'version', message: expect.stringContaining(`version ${version}`) as unknown });
});

it.each([
  ['null', null],
  ['undefined', undefined],
  ['a number', 7],
  ['a text', 'text'],
  ['a list', [draft()]],
  ['an empty object', {}],
  ['a version that is a text', { ...draft(), version: '1' }],
])('refuses %s', (_name, json) => {
  expect(errorOf(json)).toMatchObject({ code: 'invalid' });
});

describe('refuses', () => {
  it.each<[words: string, change: (manifest: Draft) => void]>([
    ['unknown field "extra"', (m) => (m['extra'] = 1)],
    ['unknown field "extra"', (m) => (m.config['extra'] = 1)],
    ['files[1] has the unknown field', (m) => Object.assign(m.files[1] ?? {}, { extra: 1 })],
    ['tensors[2] has the unknown field', (m) => Object.assign(m.tensors[2] ?? {}, { extra: 1 })],
    ['misses sourceSha256', (m) => delete m['sourceSha256']],
    ['misses headDim', (m) => delete m.config['headDim']],
    ['model should be a text', (m) => (m['model'] = '')],
    ['model should be a text', (m) => (m['model'] = 'x'.repeat(257))],
    ['architecture', (m) => (m['architecture'] = 3)],
    ['sourceSha256', (m) => (m['sourceSha256'] = SHA.toUpperCase())],
    ['sourceSha256', (m) => (m['sourceSha256'] = SHA.slice(1))],
    ['files should be an array', (m) => Object.assign(m, { files: {} })],
    ['files[0].name', (m) => Object.assign(m.files[0] ?? {}, { name: '../head-00.bin' })],
    ['files[0].name', (m) => Object.assign(m.files[0] ?? {}, { name: `${'x'.repeat(61)}.bin` })],
    [
      'files[2].name layer-000-00.bin appears twice',
      (m) => Object.assign(m.files[2] ?? {}, { name: m.files[1]?.['name'] }),
    ],
    ['files[0].bytes', (m) => Object.assign(m.files[0] ?? {}, { bytes: 0 })],
    ['files[0].bytes', (m) => Object.assign(m.files[0] ?? {}, { bytes: STAGE_FILE_BYTES_MAX + 1 })],
    ['files[1].sha256', (m) => Object.assign(m.files[1] ?? {}, { sha256: 'x' })],
    ['files[1].part', (m) => Object.assign(m.files[1] ?? {}, { part: 2 })],
    ['files[1].part', (m) => Object.assign(m.files[1] ?? {}, { part: 'tail' })],
    ['tensors misses layers.1.downProj', (m) => m.tensors.pop()],
    ['tensors has 29 elements', (m) => m.tensors.push(...m.tensors.slice(-2))],
    ['tensors[0].name should be embedding', (m) => (m.tensors = m.tensors.toReversed())],
    [
      'tensors[4].name should be layers.0.qProj',
      (m) => Object.assign(m.tensors[4] ?? {}, { name: 'layers.0.attnNorm' }),
    ],
    ['tensors[0].shape', (m) => Object.assign(m.tensors[0] ?? {}, { shape: [64, 300] })],
    ['tensors[0].shape', (m) => Object.assign(m.tensors[0] ?? {}, { shape: [300] })],
    ['tensors[0].format should be qb8w', (m) => Object.assign(m.tensors[0] ?? {}, { format: 'qb4w' })],
    ['tensors[3].sha256', (m) => Object.assign(m.tensors[3] ?? {}, { sha256: null })],
    ['tensors[0].extents hold 0 bytes', (m) => m.tensors[0]?.extents.pop()],
    ['tensors[0].extents', (m) => Object.assign(m.tensors[0]?.extents[0] ?? {}, { bytes: 16 })],
    ['tensors[0].extents[0].offset', (m) => Object.assign(m.tensors[0]?.extents[0] ?? {}, { offset: 8 })],
    ['tensors[0].extents[0].offset', (m) => Object.assign(m.tensors[0]?.extents[0] ?? {}, { offset: -16 })],
    ['tensors[0].extents[0].bytes', (m) => Object.assign(m.tensors[0]?.extents[0] ?? {}, { bytes: 1.5 })],
    ['no file of part head', (m) => Object.assign(m.tensors[0]?.extents[0] ?? {}, { file: 'layer-000-00.bin' })],
    ['no file of part 1', (m) => Object.assign(m.tensors.at(-1)?.extents[0] ?? {}, { file: 'absent.bin' })],
    ['end behind the', (m) => Object.assign(m.tensors[2]?.extents[0] ?? {}, { offset: 64_000 })],
    ['overlap in head-00.bin', (m) => Object.assign(m.tensors[2]?.extents[0] ?? {}, { offset: 0 })],
  ])('%s', (words, change) => {
    expect(errorAfter(change)).toEqual(invalid(words));
  });
});

describe('the config is bounded', () => {
  it.each<[field: string, value: unknown]>([
    ['hiddenSize', 48],
    ['hiddenSize', CONFIG_LIMITS.hiddenSizeMax + 32],
    ['intermediateSize', 0],
    ['intermediateSize', CONFIG_LIMITS.intermediateSizeMax + 32],
    ['numLayers', 0],
    ['numLayers', CONFIG_LIMITS.numLayersMax + 1],
    ['numQueryHeads', CONFIG_LIMITS.numHeadsMax + 1],
    ['numKvHeads', 3],
    ['numKvHeads', 0],
    ['headDim', 24],
    ['headDim', CONFIG_LIMITS.headDimMax + 16],
    ['vocabSize', CONFIG_LIMITS.vocabSizeMax + 1],
    ['contextLengthMax', CONFIG_LIMITS.contextLengthMax + 1],
    ['contextLengthMax', '512'],
    ['rmsNormEps', 0],
    ['rmsNormEps', -1e-5],
    ['rmsNormEps', 1],
    ['ropeTheta', 1e10],
    ['ropeTheta', null],
    ['attentionBias', 1],
    ['tiedEmbedding', 'false'],
  ])('%s = %j', (field, value) => {
    expect(errorAfter((manifest) => (manifest.config[field] = value))).toEqual(invalid(`config.${field}`));
  });

  it('query heads fill whole groups', () => {
    const error = errorAfter((manifest) => Object.assign(manifest.config, { numQueryHeads: 1, numKvHeads: 1 }));
    expect(error).toEqual(invalid('config.headDim'));
  });
});

it('accepts a tensor in several extents and files', () => {
  const error = errorAfter((manifest) => {
    const [extent] = manifest.tensors[0]?.extents ?? [];
    const bytes = Number(extent?.['bytes']);
    manifest.files.push({ name: 'head-01.bin', bytes, sha256: SHA, part: 'head' });
    Object.assign(manifest.tensors[0] ?? {}, {
      extents: [
        { file: 'head-00.bin', offset: 0, bytes: 1000 },
        { file: 'head-01.bin', offset: 16, bytes: bytes - 1000 },
      ],
    });
  });
  expect(error).toBeNull();
});

it('gives a ManifestError or the same manifest for any JSON value in any place', () => {
  const paths: [holder: (manifest: Draft) => object, key: string][] = [
    ...Object.keys(draft()).map((key): [(m: Draft) => object, string] => [(m) => m, key]),
    ...Object.keys(config).map((key): [(m: Draft) => object, string] => [(m) => m.config, key]),
    ...['name', 'bytes', 'sha256', 'part'].map((key): [(m: Draft) => object, string] => [(m) => m.files[1] ?? {}, key]),
    ...['name', 'shape', 'extents'].map((key): [(m: Draft) => object, string] => [(m) => m.tensors[5] ?? {}, key]),
  ];
  fc.assert(
    fc.property(fc.constantFrom(...paths), fc.jsonValue(), ([holder, key], value) => {
      const manifest = draft();
      Object.assign(holder(manifest), { [key]: value });
      const error = errorOf(manifest);
      expect(error === null || error.message.startsWith('manifest') || error.code === 'version').toBe(true);
    }),
    { numRuns: 500 },
  );
});
