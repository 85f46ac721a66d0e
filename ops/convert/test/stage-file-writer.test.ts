import { createHash } from 'node:crypto';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { EXTENT_ALIGNMENT_BYTES, STAGE_FILE_BYTES_MAX } from '../../../shards/model/manifest.ts';
import type { TensorSpec } from '../../../wasm/host/model-config.ts';
import { seededRandom } from '../../testing/seeded-random.ts';
import { StageFileWriter } from '../stage-file-writer.ts';

const MIB = 1024 * 1024;

let root: string;
beforeAll(async () => (root = await mkdtemp(path.join(tmpdir(), 'lamina-stage-files-'))));
afterAll(() => rm(root, { recursive: true, force: true }));

function vectorSpec(name: string, bytes: number): TensorSpec {
  return { name, shape: [bytes / 4], format: 'f32' };
}

it('cuts a head tensor into files of 8 MiB and a layer into files of 24 MiB', async () => {
  const random = seededRandom(7);
  const content = new Uint8Array(25 * MIB).map(() => random.uniform() * 256);
  const writer = new StageFileWriter(root);
  await writer.beginTensor(vectorSpec('embedding', 25 * MIB), 'head');
  // Uneven pieces, so that a piece falls across the border of a file.
  for (let at = 0; at < content.length; at += 5 * MIB + 12) {
    await writer.write(content.subarray(at, at + 5 * MIB + 12));
  }
  writer.endTensor();
  await writer.beginTensor(vectorSpec('layers.0.attnNorm', 20), 0);
  await writer.write(content.subarray(0, 20));
  writer.endTensor();
  await writer.beginTensor(vectorSpec('layers.0.mlpNorm', 25 * MIB), 0);
  await writer.write(content);
  writer.endTensor();
  const { files, tensors } = await writer.finish();

  expect(files.map(({ name, bytes, part }) => [name, bytes, part])).toEqual([
    ['head-00.bin', 8 * MIB, 'head'],
    ['head-01.bin', 8 * MIB, 'head'],
    ['head-02.bin', 8 * MIB, 'head'],
    ['head-03.bin', MIB, 'head'],
    ['layer-000-00.bin', STAGE_FILE_BYTES_MAX, 0],
    ['layer-000-01.bin', MIB + 32, 0],
  ]);
  expect(tensors.map(({ extents }) => extents.length)).toEqual([4, 1, 2]);
  for (const { extents, sha256, shape } of tensors) {
    const parts = await Promise.all(
      extents.map(async ({ file, offset, bytes }) => {
        expect(offset % EXTENT_ALIGNMENT_BYTES).toBe(0);
        return (await readFile(path.join(root, file))).subarray(offset, offset + bytes);
      }),
    );
    const hash = createHash('sha256');
    parts.forEach((part) => hash.update(part));
    expect(hash.digest('hex')).toBe(sha256);
    const expected = createHash('sha256').update(content.subarray(0, (shape[0] ?? 0) * 4));
    expect(sha256).toBe(expected.digest('hex'));
  }
});
