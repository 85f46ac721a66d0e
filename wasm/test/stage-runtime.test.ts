/** The host's side: the arena's arithmetic, and every number that the kernels trust checked at its limits. */
import { describe, expect, it } from 'vitest';
import { loadKernels } from '../build.ts';
import type { ModelConfig } from '../host/model-config.ts';
import { layoutArena, stageTensors, WASM_PAGE_BYTES } from '../host/arena.ts';
import { packedBytes } from '../host/pack.ts';
import { createStageRuntime, planArena } from '../host/stage-runtime.ts';
import type { StageRuntime, StageRuntimeOptions } from '../host/stage-runtime.ts';
import { loadTensors, randomTensors } from './random-model.ts';
import { Random } from './random.ts';

const kernels = await loadKernels();

const CONFIG: ModelConfig = {
  hiddenSize: 64,
  intermediateSize: 96,
  numLayers: 4,
  numQueryHeads: 4,
  numKvHeads: 2,
  headDim: 16,
  vocabSize: 61,
  rmsNormEps: 1e-5,
  ropeTheta: 10_000,
  contextLengthMax: 100,
  attentionBias: true,
  tiedEmbedding: false,
};
const OPTIONS: StageRuntimeOptions = {
  config: CONFIG,
  layerStart: 0,
  layerEnd: 2,
  isHead: true,
  numPages: 9,
  numTokensMax: 20,
  contextLengthMax: 50,
  numLogitRowsMax: 3,
};
const SMOLLM2_135M: ModelConfig = {
  ...CONFIG,
  hiddenSize: 576,
  intermediateSize: 1536,
  numLayers: 30,
  numQueryHeads: 9,
  numKvHeads: 3,
  headDim: 64,
  vocabSize: 49_152,
  contextLengthMax: 8192,
  attentionBias: false,
  tiedEmbedding: true,
};

function readyStage(overrides: Partial<StageRuntimeOptions> = {}): StageRuntime {
  const runtime = createStageRuntime(kernels, { ...OPTIONS, ...overrides });
  runtime.weightsReady();
  return runtime;
}

describe('planArena', () => {
  it('gives the sizes of the default model', () => {
    const plan = planArena({ ...OPTIONS, config: SMOLLM2_135M, layerEnd: 30, contextLengthMax: 8192 });
    // 3.54 M weights a layer at 5 bits, and 28.3 M of the embedding at 8.5.
    expect(plan.weightsBytes).toBeCloseTo((30 * 3_538_944 * 5) / 8 + (49_152 * 576 * 8.5) / 8 + 61 * 576 * 4, -5);
    // 30 layers, 3 heads, 16 tokens: key and value of 64 bytes each, and their scales.
    expect(plan.pageBytes).toBe(30 * 3 * 16 * (2 * 64 + 2 * 4));
    expect(plan.kvBytes).toBe(9 * plan.pageBytes);
  });

  it('is what createStageRuntime allocates, and no more', () => {
    for (const overrides of [{}, { isHead: false }, { layerEnd: 0 }, { numPages: 500 }, { numTokensMax: 1 }]) {
      const options = { ...OPTIONS, ...overrides };
      const runtime = createStageRuntime(kernels, options);
      const plan = planArena(options);
      expect(runtime.arena).toEqual(plan);
      expect(runtime.memory.buffer.byteLength).toBe(plan.totalBytes);
      expect(plan.totalBytes - plan.weightsBytes - plan.kvBytes - plan.scratchBytes).toBeLessThan(2 * WASM_PAGE_BYTES);
      expect(() => runtime.memory.grow(1)).toThrow(RangeError);
    }
  });

  it('lays regions out without overlap', () => {
    const { tensors, pages, scratch } = layoutArena(OPTIONS);
    const regions = [...tensors.values(), pages, ...Object.values(scratch)].toSorted((a, b) => a.address - b.address);
    for (const [index, region] of regions.slice(1).entries()) {
      const before = regions[index];
      expect(region.address).toBeGreaterThanOrEqual((before?.address ?? 0) + (before?.bytes ?? 0));
    }
  });

  it('refuses what the kernels cannot serve', () => {
    const refused: [Partial<ModelConfig>, string][] = [
      [{ hiddenSize: 48 }, 'hiddenSize must be a positive multiple of 32'],
      [{ intermediateSize: 0 }, 'intermediateSize'],
      [{ headDim: 24 }, 'headDim must be a positive multiple of 16'],
      [{ headDim: 528 }, 'headDim 528 is above 512'],
      [{ numKvHeads: 3 }, 'numQueryHeads must be a positive multiple of 3'],
      [{ numQueryHeads: 1, numKvHeads: 1 }, 'numQueryHeads * headDim must be a positive multiple of 32'],
      [{ vocabSize: 0 }, 'vocabSize'],
      [{ ropeTheta: NaN }, 'ropeTheta'],
      [{ rmsNormEps: -1 }, 'rmsNormEps'],
    ];
    for (const [overrides, message] of refused) {
      expect(() => planArena({ ...OPTIONS, config: { ...CONFIG, ...overrides } })).toThrow(message);
    }
    expect(() => planArena({ ...OPTIONS, layerStart: 2, layerEnd: 1 })).toThrow('no range of layers');
    expect(() => planArena({ ...OPTIONS, layerEnd: 5 })).toThrow("beyond the model's 4 layers");
    expect(() => planArena({ ...OPTIONS, contextLengthMax: 101 })).toThrow("beyond the model's 100");
    expect(() => planArena({ ...OPTIONS, numPages: 0 })).toThrow('numPages');
    expect(() => planArena({ ...OPTIONS, numPages: 10_000_000 })).toThrow('the arena needs');
  });
});

describe('weights', () => {
  it('has a view of exactly its size for every tensor of the stage, apart from all others', () => {
    const runtime = createStageRuntime(kernels, { ...OPTIONS, layerStart: 1 });
    const specs = stageTensors(runtime.options);
    expect(specs.map(({ name }) => name)).toContain('layers.1.qBias');
    for (const [index, { name, format, shape }] of specs.entries()) {
      expect(runtime.weightView(name).length).toBe(packedBytes(format, shape));
      runtime.weightView(name).fill(index + 1);
    }
    for (const [index, { name }] of specs.entries()) {
      expect(
        runtime.weightView(name).every((byte) => byte === index + 1),
        name,
      ).toBe(true);
    }
  });

  it('refuses tensors of other stages, and changes under a running stage', () => {
    const runtime = createStageRuntime(kernels, { ...OPTIONS, isHead: false });
    expect(() => runtime.weightView('embedding')).toThrow('no tensor embedding');
    expect(() => runtime.weightView('layers.2.qProj')).toThrow('no tensor layers.2.qProj');
    expect(() => runtime.forward([])).toThrow('before weightsReady');
    runtime.weightsReady();
    expect(() => runtime.weightView('layers.0.qProj')).toThrow('under a running stage');
    expect(() => runtime.embed([0])).toThrow('not the head');
    expect(() => runtime.logits([0])).toThrow('not the head');
  });
});

describe('a step', () => {
  const step = (startPosition: number, numTokens: number, pageTable: number[]): (() => void) => {
    const runtime = readyStage();
    return () => runtime.forward([{ startPosition, numTokens, pageTable }]);
  };

  it('is taken at every limit and refused one beyond', () => {
    expect(step(0, 20, [0, 1])).not.toThrow();
    expect(step(0, 21, [0, 1])).toThrow('1 to 20 tokens, got 21');
    expect(step(0, 0, [0])).toThrow('numTokens of a sequence is 0');
    expect(step(49, 1, [0, 1, 2, 8])).not.toThrow();
    expect(step(49, 2, [0, 1, 2, 8])).toThrow('ends at 51, beyond contextLengthMax 50');
    expect(step(49, 1, [0, 1, 2, 9])).toThrow('page 9 is not in [0, 9)');
    expect(step(49, 1, [0, -1, 2, 8])).toThrow('page -1');
    expect(step(49, 1, [0, 1.5, 2, 8])).toThrow('page 1.5');
    expect(step(15, 1, [3])).not.toThrow();
    expect(step(15, 2, [3])).toThrow('17 positions need 2 pages, got 1');
    expect(step(-1, 1, [3])).toThrow('startPosition is -1');
    expect(step(0.5, 1, [3])).toThrow('startPosition is 0.5');
    expect(() => readyStage().forward([])).toThrow('1 to 20 tokens, got 0');
  });

  it('runs any range of the layers that the stage has, and no other', () => {
    const runtime = readyStage({ layerStart: 1, layerEnd: 3, isHead: false });
    const range = (layerStart: number, layerEnd: number) => (): void =>
      runtime.forwardRange([{ startPosition: 0, numTokens: 1, pageTable: [0] }], layerStart, layerEnd);
    for (const [layerStart, layerEnd] of [
      [1, 3],
      [1, 2],
      [2, 3],
      [3, 3],
    ] as const) {
      expect(range(layerStart, layerEnd)).not.toThrow();
    }
    expect(range(0, 2)).toThrow("[0, 2) are no part of the stage's [1, 3)");
    expect(range(2, 4)).toThrow("[2, 4) are no part of the stage's [1, 3)");
    expect(range(1.5, 3)).toThrow('[1.5, 3)');
    expect(range(3, 2)).toThrow('[3, 2)');
  });

  it('may share full pages, never one that is written', () => {
    const forward = (...tables: [start: number, pages: number[]][]): (() => void) => {
      const runtime = readyStage();
      return () =>
        runtime.forward(tables.map(([startPosition, pageTable]) => ({ startPosition, numTokens: 1, pageTable })));
    };
    expect(forward([16, [0, 1]], [16, [0, 2]])).not.toThrow();
    expect(forward([16, [0, 1]], [16, [0, 1]])).toThrow('page 1 would be written twice');
    expect(forward([16, [0, 1]], [32, [0, 1, 2]])).toThrow('page 1 would be read and written');
    expect(forward([16, [1, 1]])).toThrow('page 1 would be read and written');
    // A refused step leaves nothing behind.
    const runtime = readyStage();
    const [good, bad] = [
      { startPosition: 0, numTokens: 1, pageTable: [4] },
      { startPosition: 0, numTokens: 1, pageTable: [9] },
    ];
    expect(() => runtime.forward([good, bad])).toThrow('page 9');
    expect(() => runtime.forward([good, good])).toThrow('written twice');
    expect(() => runtime.forward([good])).not.toThrow();
  });

  it('takes token ids and rows at every limit', () => {
    const runtime = readyStage();
    expect(() => runtime.embed([0, 60])).not.toThrow();
    expect(() => runtime.embed([61])).toThrow('token id 61 is not in [0, 61)');
    expect(() => runtime.embed([])).toThrow('1 to 20 token ids, got 0');
    expect(() => runtime.embed(new Uint32Array(21))).toThrow('got 21');
    expect(runtime.logits([19, 0, 19]).length).toBe(3 * 61);
    expect(() => runtime.logits([20])).toThrow('row 20 is not in [0, 20)');
    expect(() => runtime.logits([0, 1, 2, 3])).toThrow('1 to 3 rows, got 4');
  });

  it('writes nothing outside scratch, hidden states and its own pages', () => {
    const runtime = readyStage();
    const bytes = new Uint8Array(runtime.pages.pageBytes).fill(0x77);
    runtime.pages.write(7, bytes);
    runtime.forward([{ startPosition: 0, numTokens: 20, pageTable: [6, 8] }]);
    const after = new Uint8Array(runtime.pages.pageBytes);
    runtime.pages.read(7, after);
    expect(after).toEqual(bytes);
  });
});

describe('pages', () => {
  const randomPage = (runtime: StageRuntime, seed: number): Uint8Array => {
    const random = new Random(seed);
    return Uint8Array.from({ length: runtime.pages.pageBytes }, () => random.integer(0, 255));
  };
  const readPage = (runtime: StageRuntime, page: number): Uint8Array => {
    const bytes = new Uint8Array(runtime.pages.pageBytes);
    runtime.pages.read(page, bytes);
    return bytes;
  };

  it('keep what is written, each for itself, and are copied whole', () => {
    const runtime = readyStage();
    const all = Array.from({ length: runtime.options.numPages }, (_, page) => randomPage(runtime, page));
    all.forEach((bytes, page) => runtime.pages.write(page, bytes));
    all.forEach((bytes, page) => expect(readPage(runtime, page)).toEqual(bytes));
    runtime.pages.copy(2, 8);
    runtime.pages.copy(5, 0);
    const expected = all.map((bytes, page) => (page === 2 ? all[8] : page === 5 ? all[0] : bytes));
    expected.forEach((bytes, page) => expect(readPage(runtime, page)).toEqual(bytes));
  });

  it('refuse numbers and lengths that are none of theirs', () => {
    const { pages } = readyStage();
    const bytes = new Uint8Array(pages.pageBytes);
    expect(() => pages.read(9, bytes)).toThrow('page 9 is not in [0, 9)');
    expect(() => pages.write(-1, bytes)).toThrow('page -1');
    expect(() => pages.copy(0, 9)).toThrow('page 9');
    expect(() => pages.read(0, bytes.subarray(1))).toThrow('bytes');
    expect(() => pages.write(0, new Uint8Array(bytes.length + 1))).toThrow('bytes');
  });
});

describe('warm-up', () => {
  const filledStage = (overrides: Partial<StageRuntimeOptions>): StageRuntime => {
    const runtime = createStageRuntime(kernels, { ...OPTIONS, ...overrides });
    loadTensors(runtime, randomTensors(CONFIG, 1));
    return runtime;
  };

  it('changes no later result, on any size of stage', () => {
    const run = (runtime: StageRuntime): Float32Array => {
      const numTokens = Math.min(3, runtime.options.numTokensMax);
      runtime.hiddenStates.fill(0.5);
      runtime.forward([{ startPosition: 0, numTokens, pageTable: [0] }]);
      return runtime.hiddenStates.slice(0, numTokens * CONFIG.hiddenSize);
    };
    for (const overrides of [{}, { isHead: false }, { numTokensMax: 1 }, { contextLengthMax: 3, numPages: 1 }]) {
      const [cold, warm] = [filledStage(overrides), filledStage(overrides)];
      warm.warmUp();
      const result = run(warm);
      expect(result.every(Number.isFinite)).toBe(true);
      expect(result).toEqual(run(cold));
    }
  });

  it('is refused before there are weights and once pages may be in use', () => {
    const runtime = createStageRuntime(kernels, OPTIONS);
    expect(() => runtime.warmUp()).toThrow('before weightsReady');
    runtime.weightsReady();
    runtime.forward([{ startPosition: 0, numTokens: 1, pageTable: [1] }]);
    expect(() => runtime.warmUp()).toThrow('page that may be in use');
  });
});
