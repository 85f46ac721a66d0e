/** Whole conversions of tiny models: what goes in comes out, in the right rows, the same bytes every time. */
import { createHash } from 'node:crypto';
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { readManifest, readPacked, readWeights } from '../../testing/converted-tensors.ts';
import { encodeGgml, type EncodableType } from '../../testing/ggml-encode.ts';
import { writeTinyHuggingFace } from '../../testing/tiny-hugging-face.ts';
import { encodeGguf } from '../../testing/gguf-writer.ts';
import {
  convertTinyModel,
  tinyConfig,
  tinyGgufContent,
  writeTinyGguf,
  type TinyModelOptions,
} from '../../testing/tiny-model.ts';
import { tinyWeights } from '../../testing/tiny-weights.ts';
import { convertedModelKey, convertModel } from '../convert-model.ts';
import { TENSOR_TYPES } from '../weights/tensor-types.ts';
import golden from './golden/dequant.json' with { type: 'json' };

let root: string;
beforeAll(async () => (root = await mkdtemp(path.join(tmpdir(), 'lamina-convert-'))));
afterAll(() => rm(root, { recursive: true, force: true }));

/** What the source file holds, in the engine's row order: the original weights after their encoding. */
function sourceWeights(options: TinyModelOptions, name: string, type: EncodableType): Float32Array {
  const tensor = tinyWeights(tinyConfig(options), options.seed).find((candidate) => candidate.name === name);
  const values = tensor?.values ?? new Float32Array();
  const decoded = new Float32Array(values.length);
  TENSOR_TYPES[type].dequantize(encodeGgml(type, values), decoded);
  return decoded;
}

/** Numbers as they compare: the two zeros, which Q4_0 and a scale with a minimum spell differently, become one. */
function numbers(values: Float32Array): number[] {
  return Array.from(values, (value) => value + 0);
}

function relativeError(actual: Float32Array, expected: Float32Array): number {
  const sum = (values: Float32Array): number => values.reduce((total, value) => total + value * value, 0);
  return Math.sqrt(sum(actual.map((value, i) => value - (expected[i] ?? 0))) / sum(expected));
}

async function fileHashes(dir: string): Promise<Record<string, string>> {
  const hashes: Record<string, string> = {};
  for (const name of (await readdir(dir)).toSorted()) {
    hashes[name] = createHash('sha256')
      .update(await readFile(path.join(dir, name)))
      .digest('hex');
  }
  return hashes;
}

const LAYER_MATRICES = ['qProj', 'kProj', 'vProj', 'oProj', 'gateProj', 'upProj', 'downProj'];

describe('a GGUF model', () => {
  it.each([
    { architecture: 'llama', layerType: 'Q4_1' },
    { architecture: 'llama', layerType: 'Q4_0' },
    { architecture: 'qwen2', layerType: 'Q4_1' },
    { architecture: 'qwen2', layerType: 'Q4_0' },
  ] as const)('keeps every weight of $architecture $layerType', async (options) => {
    const dir = await convertTinyModel(path.join(root, `${options.architecture}-${options.layerType}`), options);
    for (const kind of LAYER_MATRICES) {
      const name = `layers.3.${kind}`;
      expect(numbers(await readWeights(dir, name))).toEqual(numbers(sourceWeights(options, name, options.layerType)));
    }
    expect(numbers(await readWeights(dir, 'embedding'))).toEqual(numbers(sourceWeights(options, 'embedding', 'Q8_0')));
    const vectors = ['finalNorm', 'layers.0.attnNorm', 'layers.4.mlpNorm'];
    const biases = ['layers.2.qBias', 'layers.2.kBias', 'layers.2.vBias'];
    for (const name of options.architecture === 'qwen2' ? [...vectors, ...biases] : vectors) {
      expect(numbers(await readWeights(dir, name))).toEqual(numbers(sourceWeights(options, name, 'F32')));
    }
  });

  it('keeps every weight of tensors that are converted in several pieces', async () => {
    // 4128 columns: 248 rows a piece where any rows may be cut, 240 where whole heads of 48 rows may.
    const options = { shape: { numLayers: 1, hiddenSize: 4128, numQueryHeads: 6, headDim: 48 } } as const;
    const dir = await convertTinyModel(path.join(root, 'pieces'), options);
    for (const [name, type] of [
      ['layers.0.qProj', 'Q4_1'],
      ['embedding', 'Q8_0'],
    ] as const) {
      const [actual, expected] = [await readWeights(dir, name), sourceWeights(options, name, type)];
      expect(actual.length).toBe(expected.length);
      expect(actual.findIndex((value, i) => value !== expected[i])).toBe(-1);
    }
  });

  // A 4-bit group of bell-shaped weights has an error of about 7 %, an 8-bit one of 0.5 %.
  it.each(['F32', 'F16', 'BF16', 'Q8_0'] as const)('requantises %s', async (layerType) => {
    const options = { layerType, embeddingType: layerType, tied: false } as const;
    const dir = await convertTinyModel(path.join(root, `requantised-${layerType}`), options);
    for (const kind of LAYER_MATRICES) {
      const name = `layers.1.${kind}`;
      const error = relativeError(await readWeights(dir, name), sourceWeights(options, name, layerType));
      expect(error).toBeGreaterThan(0.01);
      expect(error).toBeLessThan(0.08);
    }
    for (const name of ['embedding', 'lmHead']) {
      expect(relativeError(await readWeights(dir, name), sourceWeights(options, name, layerType))).toBeLessThan(0.007);
    }
  });

  // No encoder for these exists here: the groups of the golden file, repeated, stand for a trained matrix.
  it.each(['Q5_0', 'Q5_1', 'Q4_K', 'Q5_K', 'Q6_K'] as const)('requantises %s', async (type) => {
    const decode = (base64: string) => Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
    const groups = decode(golden.types[type].bytes);
    const values = new Float32Array(decode(golden.types[type].values).buffer);
    const content = tinyGgufContent({ shape: { numLayers: 1, hiddenSize: 256, headDim: 64 } });
    const numRepeats = (256 * 256) / values.length;
    const data = new Uint8Array(groups.length * numRepeats).map((_, i) => groups[i % groups.length] ?? 0);
    const tensors = content.tensors.map((tensor) =>
      tensor.name === 'blk.0.attn_output.weight' ? { ...tensor, type, data } : tensor,
    );
    const source = path.join(root, `${type}.gguf`);
    await writeFile(source, encodeGguf({ ...content, tensors }));
    const outDir = path.join(root, `requantised-${type}`);
    await convertModel({ source, outDir, modelName: 'tiny' });
    const expected = new Float32Array(256 * 256).map((_, i) => values[i % values.length] ?? 0);
    expect(relativeError(await readWeights(outDir, 'layers.0.oProj'), expected)).toBeLessThan(0.08);
  });

  it.each(['Q4_0', 'Q4_1'] as const)('takes a %s embedding to 8 bits with little error', async (embeddingType) => {
    const dir = await convertTinyModel(path.join(root, `embedding-${embeddingType}`), { embeddingType });
    const expected = sourceWeights({ embeddingType }, 'embedding', embeddingType);
    expect(relativeError(await readWeights(dir, 'embedding'), expected)).toBeLessThan(0.007);
  });
});

describe('a safetensors model', () => {
  it.each(['llama', 'qwen2'] as const)('gives the same weights as the GGUF of the same %s', async (architecture) => {
    const fromGguf = await convertTinyModel(path.join(root, `twin-gguf-${architecture}`), {
      architecture,
      tied: false,
      layerType: 'F32',
      embeddingType: 'F32',
    });
    const source = path.join(root, `twin-source-${architecture}`);
    await writeTinyHuggingFace(source, { architecture, tied: false });
    const outDir = path.join(root, `twin-safetensors-${architecture}`);
    const manifest = await convertModel({ source, outDir, modelName: 'tiny' });
    expect(manifest.tensors).toEqual((await readManifest(fromGguf)).tensors);
    const [gguf, huggingFace] = await Promise.all(
      [fromGguf, outDir].map(async (dir) => JSON.parse(await readFile(path.join(dir, 'chat.json'), 'utf8')) as unknown),
    );
    expect(huggingFace).toEqual(gguf);
  });

  it('may be spread over several files, or be one file of a folder', async () => {
    const single = path.join(root, 'single');
    const sharded = path.join(root, 'sharded');
    await writeTinyHuggingFace(single, { type: 'BF16' });
    await writeTinyHuggingFace(sharded, { type: 'BF16', numFiles: 3 });
    const convert = async (source: string, name: string) =>
      (await convertModel({ source, outDir: path.join(root, name), modelName: 'tiny' })).tensors;
    const expected = await convert(single, 'single-out');
    expect(await convert(sharded, 'sharded-out')).toEqual(expected);
    expect(await convert(path.join(single, 'model.safetensors'), 'file-out')).toEqual(expected);
  });
});

describe('the folder', () => {
  it('has the same bytes every time, wherever it is written', async () => {
    const [first, second] = [
      await convertTinyModel(path.join(root, 'a')),
      await convertTinyModel(path.join(root, 'b')),
    ];
    expect(await fileHashes(second)).toEqual(await fileHashes(first));
    const other = await convertTinyModel(path.join(root, 'c'), { seed: 2 });
    expect((await fileHashes(other))['manifest.json']).not.toBe((await fileHashes(first))['manifest.json']);
  });

  it('has the hashes and sizes that its manifest says', async () => {
    const dir = await convertTinyModel(path.join(root, 'hashes'), { tied: false });
    const manifest = await readManifest(dir);
    const hashes = await fileHashes(dir);
    for (const file of manifest.files) {
      expect(hashes[file.name]).toBe(file.sha256);
      expect((await readFile(path.join(dir, file.name))).length).toBe(file.bytes);
    }
    for (const tensor of manifest.tensors) {
      const packed = await readPacked(dir, tensor);
      expect(createHash('sha256').update(packed).digest('hex')).toBe(tensor.sha256);
    }
    expect(Object.keys(hashes).toSorted()).toEqual(
      [...manifest.files.map(({ name }) => name), 'manifest.json', 'tokenizer.json', 'chat.json'].toSorted(),
    );
    const source = await readFile(path.join(root, 'hashes', 'tiny.gguf'));
    expect(manifest.sourceSha256).toBe(createHash('sha256').update(source).digest('hex'));
  });

  it('does not exist, nor anything beside it, after a conversion that failed half-way', async () => {
    const dir = path.join(root, 'failing');
    const source = path.join(dir, 'tiny.gguf');
    // The last tensor of the file gets a scale that is not a number, so that everything before it has been written.
    await writeTinyGguf(source);
    const bytes = await readFile(source);
    bytes.fill(0xff, bytes.length - 20, bytes.length);
    await writeFile(source, bytes);
    await expect(convertModel({ source, outDir: path.join(dir, 'out'), modelName: 'tiny' })).rejects.toMatchObject({
      code: 'weight-out-of-range',
    });
    expect(await readdir(dir)).toEqual(['tiny.gguf']);
  });

  it('replaces what was there, and removes what a killed process left behind', async () => {
    const dir = path.join(root, 'replacing');
    // No process has the largest number that Linux allows, 2 ** 22, or any above it.
    const leftover = path.join(dir, 'tiny.partial-4194399');
    const foreign = path.join(dir, 'tiny.partial-of-the-user');
    for (const folder of [path.join(dir, 'tiny'), leftover, foreign]) {
      await mkdir(folder, { recursive: true });
      await writeFile(path.join(folder, 'old.bin'), 'old');
    }
    await convertTinyModel(dir);
    expect((await readdir(dir)).toSorted()).toEqual(['tiny', 'tiny.gguf', 'tiny.partial-of-the-user']);
    expect(await readdir(path.join(dir, 'tiny'))).not.toContain('old.bin');
  });
});

it('reports progress that grows and ends at the total', async () => {
  const source = path.join(root, 'progress', 'tiny.gguf');
  await writeTinyGguf(source);
  const reports: [done: number, total: number][] = [];
  await convertModel({
    source,
    outDir: path.join(root, 'progress', 'out'),
    modelName: 'tiny',
    onProgress: (done, total) => reports.push([done, total]),
  });
  const sourceBytes = (await readFile(source)).length;
  expect(reports.at(-1)).toEqual([2 * sourceBytes, 2 * sourceBytes]);
  expect(reports.length).toBeGreaterThan(40);
  const done = reports.map(([bytes]) => bytes);
  expect(done).toEqual(done.toSorted((a, b) => a - b));
});

it('gives another key for another source or name', () => {
  const key = convertedModelKey({ sourceSha256: 'aa', modelName: 'tiny' });
  expect(key).toMatch(/^[0-9a-f]{64}$/);
  expect(convertedModelKey({ sourceSha256: 'ab', modelName: 'tiny' })).not.toBe(key);
  expect(convertedModelKey({ sourceSha256: 'aa', modelName: 'tony' })).not.toBe(key);
});
