/** Reads the shape of a model strictly: the arena is computed from these numbers. */
import { GROUP_SIZE, type ModelConfig } from '../../wasm/host/model-config.ts';
import { boolean, integer, invalid, positive, record } from './manifest-fields.ts';

/** Bounds on what a config may claim: some 10 times the largest model that the platform could serve. */
export const CONFIG_LIMITS = {
  numLayersMax: 512,
  hiddenSizeMax: 16_384,
  intermediateSizeMax: 65_536,
  numHeadsMax: 256,
  headDimMax: 512,
  vocabSizeMax: 1_000_000,
  contextLengthMax: 1_048_576,
  ropeThetaMax: 1e9,
  /** RMSNorm's epsilon is 1e-5 or 1e-6 in practice. */
  rmsNormEpsMax: 0.1,
} as const;

/** The attention kernel reads a head in whole SIMD vectors of int8. */
const HEAD_DIM_MULTIPLE = 16;

/** @param path where the value stands, for messages. @throws ManifestError */
export function parseModelConfig(json: unknown, path: string): ModelConfig {
  const limits = CONFIG_LIMITS;
  const fields = record(json, path, [
    'hiddenSize',
    'intermediateSize',
    'numLayers',
    'numQueryHeads',
    'numKvHeads',
    'headDim',
    'vocabSize',
    'rmsNormEps',
    'ropeTheta',
    'contextLengthMax',
    'attentionBias',
    'tiedEmbedding',
  ]);
  const size = (name: string, max: number, multiple = 1): number =>
    integer(fields[name], `${path}.${name}`, { min: multiple, max, multiple });
  const config: ModelConfig = {
    hiddenSize: size('hiddenSize', limits.hiddenSizeMax, GROUP_SIZE),
    intermediateSize: size('intermediateSize', limits.intermediateSizeMax, GROUP_SIZE),
    numLayers: size('numLayers', limits.numLayersMax),
    numQueryHeads: size('numQueryHeads', limits.numHeadsMax),
    numKvHeads: size('numKvHeads', limits.numHeadsMax),
    headDim: size('headDim', limits.headDimMax, HEAD_DIM_MULTIPLE),
    vocabSize: size('vocabSize', limits.vocabSizeMax),
    rmsNormEps: positive(fields['rmsNormEps'], `${path}.rmsNormEps`, limits.rmsNormEpsMax),
    ropeTheta: positive(fields['ropeTheta'], `${path}.ropeTheta`, limits.ropeThetaMax),
    contextLengthMax: size('contextLengthMax', limits.contextLengthMax),
    attentionBias: boolean(fields['attentionBias'], `${path}.attentionBias`),
    tiedEmbedding: boolean(fields['tiedEmbedding'], `${path}.tiedEmbedding`),
  };
  if (config.numQueryHeads % config.numKvHeads !== 0) {
    throw invalid(`${path}.numKvHeads`, `${config.numKvHeads} does not divide the ${config.numQueryHeads} query heads`);
  }
  // The output projection reads the query heads side by side, in whole quantisation groups.
  if ((config.numQueryHeads * config.headDim) % GROUP_SIZE !== 0) {
    throw invalid(`${path}.headDim`, `times the query heads should be a multiple of ${GROUP_SIZE}`);
  }
  return config;
}
