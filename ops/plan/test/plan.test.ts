import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { NUM_FEATURE_PAGES } from '../../../shards/model/assignment.ts';
import { headTensors, layerTensors, type ModelConfig } from '../../../wasm/host/model-config.ts';
import { PAGE_SIZE_TOKENS } from '../../../wasm/host/stage-runtime.ts';
import { OperatorError } from '../../support/operator-error.ts';
import { tokenTime } from '../cost.ts';
import { type Plan, type PlanArena, type PlanRequest, planStages, stageAssignments } from '../plan.ts';

/** A small arena in the shape of the real one: bytes in proportion to weights, pages and tokens. */
const planArena: PlanArena = (options) => {
  const sizeOf = (shape: readonly number[]): number => shape.reduce((product, size) => product * size, 1);
  const layers = Array.from({ length: options.layerEnd - options.layerStart }, () => layerTensors(options.config, 0));
  const tensors = [...layers.flat(), ...(options.isHead ? headTensors(options.config) : [])];
  const weightsBytes = tensors.reduce((sum, tensor) => sum + sizeOf(tensor.shape), 0);
  const pageBytes = 2 * PAGE_SIZE_TOKENS * options.config.numKvHeads * options.config.headDim * layers.length;
  const kvBytes = pageBytes * options.numPages;
  const scratchBytes = 4 * options.numTokensMax * options.config.hiddenSize + 4 * options.contextLengthMax;
  return { weightsBytes, kvBytes, pageBytes, scratchBytes, totalBytes: weightsBytes + kvBytes + scratchBytes };
};

const config = (overrides: Partial<ModelConfig> = {}): ModelConfig => ({
  hiddenSize: 64,
  intermediateSize: 128,
  numLayers: 6,
  numQueryHeads: 4,
  numKvHeads: 2,
  headDim: 16,
  vocabSize: 512,
  rmsNormEps: 1e-5,
  ropeTheta: 10_000,
  contextLengthMax: 256,
  attentionBias: false,
  tiedEmbedding: true,
  ...overrides,
});

const request = (overrides: Partial<PlanRequest> = {}): PlanRequest => ({
  model: 'test-model',
  config: config(),
  tokenizerBytes: 1000,
  budgetBytes: 1_000_000,
  stageHeapBytes: 1000,
  numTokensMax: 8,
  numLogitRowsMax: 2,
  ...overrides,
});

const arbitraryRequest: fc.Arbitrary<PlanRequest> = fc
  .record({
    numLayers: fc.integer({ min: 1, max: 9 }),
    vocabSize: fc.integer({ min: 16, max: 4000 }),
    contextLengthMax: fc.integer({ min: 1, max: 600 }),
    budgetBytes: fc.integer({ min: 20_000, max: 900_000 }),
    extraKvTokens: fc.integer({ min: 0, max: 500 }),
  })
  .map(({ budgetBytes, extraKvTokens, ...shape }) =>
    request({ config: config(shape), budgetBytes, kvTokens: shape.contextLengthMax + extraKvTokens }),
  );

/** All ways to write `total` as a sum of `parts` positive integers. */
function* compositions(total: number, parts: number): Generator<number[]> {
  if (parts === 1) {
    yield [total];
    return;
  }
  for (let first = 1; first <= total - parts + 1; first += 1) {
    for (const rest of compositions(total - first, parts - 1)) {
      yield [first, ...rest];
    }
  }
}

/** The fewest stages that fit, and the smallest slowest-stage time with them, by trying everything. */
const bruteForce = (asked: PlanRequest): { stageCount: number; slowestUs: number } | null => {
  const contextLength = asked.config.contextLengthMax;
  const time = tokenTime(asked.config, contextLength);
  const kvPages = Math.ceil((asked.kvTokens ?? contextLength) / PAGE_SIZE_TOKENS);
  for (let stageCount = 1; stageCount <= asked.config.numLayers; stageCount += 1) {
    let slowest = Infinity;
    for (const layersOf of compositions(asked.config.numLayers, stageCount)) {
      const fits = layersOf.every((numLayers, index) => {
        const layerStart = index === 0 ? 0 : 1;
        const layerEnd = layerStart + numLayers;
        const isHead = index === 0;
        const numPages = isHead ? kvPages + NUM_FEATURE_PAGES : kvPages;
        const options = { config: asked.config, layerStart, layerEnd, isHead, numPages };
        const arena = planArena({ ...options, numTokensMax: 8, numLogitRowsMax: 2, contextLengthMax: contextLength });
        return arena.totalBytes + 1000 <= (asked.budgetBytes ?? 0);
      });
      const stageUs = layersOf.map((layers, index) => layers * time.layerUs + (index === 0 ? time.headUs : 0));
      slowest = fits ? Math.min(slowest, Math.max(...stageUs)) : slowest;
    }
    if (slowest < Infinity) {
      return { stageCount, slowestUs: slowest };
    }
  }
  return null;
};

const planOrNull = (asked: PlanRequest): Plan | null => {
  try {
    return planStages(asked, planArena);
  } catch (error) {
    if (error instanceof OperatorError && error.code === 'does_not_fit') {
      return null;
    }
    throw error;
  }
};

/** Time of the slowest stage of a plan; 0 without one. */
const slowestUs = (asked: PlanRequest, plan: Plan | null): number => {
  const { layerUs, headUs } = tokenTime(asked.config, asked.config.contextLengthMax);
  const totalUs = layerUs * asked.config.numLayers + headUs;
  return Math.max(0, ...(plan?.stages ?? []).map((stage) => stage.timeShare * totalUs));
};

describe('planStages', () => {
  it('covers every layer once, in order, with every stage inside the budget', () => {
    let numPlanned = 0;
    fc.assert(
      fc.property(arbitraryRequest, (asked) => {
        const plan = planOrNull(asked);
        if (plan === null) {
          return;
        }
        numPlanned += 1;
        const layers = plan.stages.flatMap((stage) =>
          Array.from({ length: stage.layerEnd - stage.layerStart }, (_, index) => stage.layerStart + index),
        );
        expect(layers).toEqual(Array.from({ length: asked.config.numLayers }, (_, index) => index));
        expect(plan.stages.every((stage) => stage.layerEnd > stage.layerStart)).toBe(true);
        expect(plan.stages.every((stage) => stage.totalBytes <= plan.budgetBytes)).toBe(true);
        expect(plan.kvTokens).toBeGreaterThanOrEqual(asked.kvTokens ?? 0);
        expect(plan.numPages).toBe(Math.min(...plan.stages.map((stage) => stage.numPagesMax)));
        expect(plan.stages.reduce((sum, stage) => sum + stage.timeShare, 0)).toBeCloseTo(1, 9);
      }),
    );
    expect(numPlanned).toBeGreaterThan(20);
  });

  it('uses the fewest stages, and of those splits one whose slowest stage is fastest', () => {
    fc.assert(
      fc.property(arbitraryRequest, (asked) => {
        const plan = planOrNull(asked);
        const best = bruteForce(asked);
        expect(plan?.stages.length).toBe(best?.stageCount);
        expect(slowestUs(asked, plan)).toBeCloseTo(best?.slowestUs ?? 0, 3);
      }),
    );
  });

  it.each([1, 2, 3, 6])('splits into exactly %i stages when told to', (stageCount) => {
    expect(planStages(request({ stageCount }), planArena).stages).toHaveLength(stageCount);
  });

  it('gives the head fewer layers, since it also computes the logits', () => {
    const { stages } = planStages(request({ config: config({ vocabSize: 2048 }), stageCount: 2 }), planArena);
    expect(stages[0]?.layerEnd).toBe(2);
  });

  it('gives the head the layers that features need, or as many of them as there are and fit', () => {
    const headLayers = (overrides: Partial<PlanRequest>): number | undefined =>
      planStages(request({ stageCount: 2, ...overrides }), planArena).stages[0]?.layerEnd;
    expect(headLayers({})).toBe(3);
    expect(headLayers({ headLayersMin: 2 })).toBe(3);
    expect(headLayers({ headLayersMin: 4 })).toBe(4);
    expect(headLayers({ headLayersMin: 6 })).toBe(5);
    expect(headLayers({ headLayersMin: 6, stageCount: 1 })).toBe(6);
    expect(headLayers({ headLayersMin: 6, budgetBytes: 320_000 })).toBe(4);
  });

  it('turns into the assignments that the stages carry', () => {
    const plan = planStages(request({ stageCount: 2 }), planArena);
    expect(stageAssignments(plan, 'abc', 1)).toMatchObject([
      { stageIndex: 0, stageCount: 2, layerStart: 0, manifestSha256: 'abc', numPages: plan.numPages },
      { stageIndex: 1, stageCount: 2, layerEnd: 6, contextLengthMax: 256 },
    ]);
  });

  it.each<[string, Partial<PlanRequest>, RegExp]>([
    ['a head that is too large', { budgetBytes: 60_000 }, /head stage with one layer.*needs .*budget of an isolate/],
    ['too few stages', { budgetBytes: 110_000, stageCount: 2 }, /does not fit in 2 stages/],
    ['more stages than layers', { stageCount: 7 }, /cannot be split into 7 stages/],
    ['no stages', { stageCount: 0 }, /cannot be split into 0 stages/],
    ['a context beyond the model', { contextLength: 257 }, /257 tokens was asked for; test-model was trained for 256/],
    ['a vocabulary that is too large', { tokenizerBytes: 10_000_000 }, /tokenizer of test-model does not fit/],
    ['KV below one context', { kvTokens: 255 }, /255 tokens of KV cannot hold one sequence of 256/],
  ])('refuses %s by name', (_name, overrides, message) => {
    expect(() => planStages(request(overrides), planArena)).toThrow(message);
  });
});
