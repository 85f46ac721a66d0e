/** What every seed needs and none changes: the kernels, the tiny model in memory, and the answers that it must give. */
import { createHash } from 'node:crypto';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { systemClock } from '../../shards/platform/system.ts';
import { memoryAssets, releaseOf, type SyncSha256Hex } from '../../shards/sim/model-files.ts';
import { Oracle } from '../../shards/sim/oracle.ts';
import { STAGES_MAX } from '../../shards/sim/plan.ts';
import type { Canary } from '../../shards/sim/canary.ts';
import type { SimOptions } from '../../shards/sim/simulate.ts';
import { loadKernels } from '../../wasm/build.ts';
import { convertTinyModel } from '../testing/tiny-model.ts';

/** As small as the kernels allow, with a layer for each stage: a simulation is about the ring, not about the model. */
const SHAPE = {
  hiddenSize: 32,
  intermediateSize: 64,
  numLayers: STAGES_MAX,
  numQueryHeads: 2,
  numKvHeads: 1,
  headDim: 16,
  contextLengthMax: 512,
} as const;

const sha256: SyncSha256Hex = (bytes) => createHash('sha256').update(bytes).digest('hex');

/** What is the same for all seeds of a run. */
export interface SimSettings {
  /** A bug that is switched on. */
  readonly canary: Canary | null;
}

export async function createSimWorld({ canary }: SimSettings): Promise<Omit<SimOptions, 'seed'>> {
  const kernels = await loadKernels();
  const folder = await mkdtemp(path.join(tmpdir(), 'lamina-sim-'));
  try {
    const converted = await convertTinyModel(folder, { shape: SHAPE });
    const names = await readdir(converted);
    const read = async (name: string): Promise<[string, Uint8Array<ArrayBuffer>]> => [
      name,
      new Uint8Array(await readFile(path.join(converted, name))),
    ];
    const release = releaseOf(new Map(await Promise.all(names.map(read))), sha256);
    const oracle = new Oracle({ assets: memoryAssets(release, systemClock, () => 0), kernels });
    return { kernels, release, sha256, oracle, canary, settle: () => systemClock.yieldToEvents() };
  } finally {
    await rm(folder, { recursive: true });
  }
}
