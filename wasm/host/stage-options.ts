/** What the host needs to know to plan and run a stage, and the shapes that follow from it. */
import { GROUP_COLS, PAGE_TOKENS } from '../assembly/layout.ts';
import { assert } from './assert.ts';
import type { ModelConfig } from './model-config.ts';

/** Tokens in one KV page. */
export const PAGE_SIZE_TOKENS = PAGE_TOKENS;

/** The vectors of the kernels take 16 elements of a head. */
const HEAD_DIM_MULTIPLE = 16;
/** The integer dot product of a query and a key, 32767 * 127 * headDim, has to stay below 2^31. */
const HEAD_DIM_MAX = 512;

/** What one isolate's WASM memory holds. Fixed at creation: nothing is allocated afterwards. */
export interface StageRuntimeOptions {
  readonly config: ModelConfig;
  readonly layerStart: number;
  readonly layerEnd: number;
  /** Stage 0: holds the embedding, the final norm and the LM head. */
  readonly isHead: boolean;
  /** KV pages of `PAGE_SIZE_TOKENS` tokens for the layers of this stage. */
  readonly numPages: number;
  /** Most tokens in one step. */
  readonly numTokensMax: number;
  /** Longest sequence in tokens: bounds page tables and attention scores. */
  readonly contextLengthMax: number;
  /** Most rows of logits computed in one call. */
  readonly numLogitRowsMax: number;
}

/** Sizes derived from the options, in elements. */
export interface StageShape {
  readonly numLayers: number;
  readonly querySize: number;
  readonly kvSize: number;
  readonly queryHeadsPerKvHead: number;
  readonly pagesPerSequenceMax: number;
}

/** @throws AssertionError that names the field which the kernels cannot serve. */
export function stageShape(options: StageRuntimeOptions): StageShape {
  assertConfig(options.config);
  assertLimits(options);
  const { config } = options;
  return {
    numLayers: options.layerEnd - options.layerStart,
    querySize: config.numQueryHeads * config.headDim,
    kvSize: config.numKvHeads * config.headDim,
    queryHeadsPerKvHead: config.numQueryHeads / config.numKvHeads,
    pagesPerSequenceMax: Math.ceil(options.contextLengthMax / PAGE_SIZE_TOKENS),
  };
}

function assertConfig(config: ModelConfig): void {
  assertMultiple('hiddenSize', config.hiddenSize, GROUP_COLS);
  assertMultiple('intermediateSize', config.intermediateSize, GROUP_COLS);
  assertMultiple('headDim', config.headDim, HEAD_DIM_MULTIPLE);
  assert(config.headDim <= HEAD_DIM_MAX, `headDim ${config.headDim} is above ${HEAD_DIM_MAX}`);
  assertMultiple('numKvHeads', config.numKvHeads, 1);
  assertMultiple('numQueryHeads', config.numQueryHeads, config.numKvHeads);
  assertMultiple('numQueryHeads * headDim', config.numQueryHeads * config.headDim, GROUP_COLS);
  assertMultiple('vocabSize', config.vocabSize, 1);
  assert(config.rmsNormEps >= 0 && Number.isFinite(config.rmsNormEps), `rmsNormEps is ${config.rmsNormEps}`);
  assert(config.ropeTheta > 0 && Number.isFinite(config.ropeTheta), `ropeTheta is ${config.ropeTheta}`);
}

function assertLimits(options: StageRuntimeOptions): void {
  const { config, layerStart, layerEnd, contextLengthMax } = options;
  assert(
    Number.isSafeInteger(layerStart) && Number.isSafeInteger(layerEnd) && layerStart >= 0 && layerStart <= layerEnd,
    `[${layerStart}, ${layerEnd}) is no range of layers`,
  );
  assert(layerEnd <= config.numLayers, `layerEnd ${layerEnd} is beyond the model's ${config.numLayers} layers`);
  assertMultiple('numPages', options.numPages, 1);
  assertMultiple('numTokensMax', options.numTokensMax, 1);
  assertMultiple('contextLengthMax', contextLengthMax, 1);
  assert(
    contextLengthMax <= config.contextLengthMax,
    `contextLengthMax ${contextLengthMax} is beyond the model's ${config.contextLengthMax}`,
  );
  if (options.isHead) {
    assertMultiple('numLogitRowsMax', options.numLogitRowsMax, 1);
  }
}

function assertMultiple(name: string, value: number, factor: number): void {
  assert(
    Number.isSafeInteger(value) && value > 0 && value % factor === 0,
    `${name} must be a positive multiple of ${factor}, got ${value}`,
  );
}
