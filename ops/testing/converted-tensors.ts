/** Reads tensors of a converted model back as floats, straight from the files: the plain counterpart of the weight loader. */
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import type { Manifest, ManifestTensor } from '../../shards/model/manifest.ts';
import { parseManifest } from '../../shards/model/parse-manifest.ts';
import { f16ToF32 } from '../../wasm/host/f16.ts';
import { GROUP_SIZE } from '../../wasm/host/model-config.ts';
import { unpackQb4w, unpackQb8w } from '../../wasm/host/pack.ts';

export async function readManifest(dir: string): Promise<Manifest> {
  return parseManifest(JSON.parse(await readFile(path.join(dir, 'manifest.json'), 'utf8')));
}

/** Packed bytes of a tensor, its extents joined. */
export async function readPacked(dir: string, tensor: ManifestTensor): Promise<Uint8Array<ArrayBuffer>> {
  const packed = new Uint8Array(tensor.extents.reduce((sum, { bytes }) => sum + bytes, 0));
  let at = 0;
  for (const { file, offset, bytes } of tensor.extents) {
    const content = await readFile(path.join(dir, file));
    packed.set(content.subarray(offset, offset + bytes), at);
    at += bytes;
  }
  return packed;
}

/** Values of a tensor, row-major. */
export async function readWeights(dir: string, name: string): Promise<Float32Array> {
  const manifest = await readManifest(dir);
  const tensor = manifest.tensors.find((candidate) => candidate.name === name);
  if (tensor === undefined) {
    throw new Error(`the manifest has no tensor ${name}`);
  }
  const packed = await readPacked(dir, tensor);
  const [rows = 1, cols = 1] = tensor.shape;
  const groupOf = (i: number): number => Math.floor(i / GROUP_SIZE);
  if (tensor.format === 'f32') {
    return new Float32Array(packed.buffer);
  }
  if (tensor.format === 'qb8w') {
    const { quants, scales } = unpackQb8w(rows, cols, packed);
    return Float32Array.from(quants, (quant, i) => quant * f16ToF32(scales[groupOf(i)] ?? 0));
  }
  const { quants, scales, minima } = unpackQb4w(rows, cols, packed);
  return Float32Array.from(
    quants,
    (quant, i) => quant * f16ToF32(scales[groupOf(i)] ?? 0) + f16ToF32(minima[groupOf(i)] ?? 0),
  );
}
