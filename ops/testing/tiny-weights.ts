/**
 * Random weights of a tiny decoder model, by canonical tensor name and in the row order that the engine uses (RoPE in
 * half style). Writers of model files turn them into what their format wants.
 */
import { headTensors, layerTensors, type ModelConfig } from '../../wasm/host/model-config.ts';
import { seededRandom, type SeededRandom } from './seeded-random.ts';

export interface TinyTensor {
  readonly name: string;
  readonly shape: readonly number[];
  readonly values: Float32Array;
}

/**
 * Standard deviation of the output of a projection, given an input of standard deviation 1. Queries and keys are larger
 * so that attention is not flat; the outputs that are added to the residual stream are large against the embedding, so
 * that a tied model does not just repeat its input token.
 */
const PROJECTION_GAIN: Readonly<Record<string, number>> = { qProj: 1.7, kProj: 1.7, oProj: 1.5, downProj: 2.5 };

/** A final norm of 1 and 64 columns give logits of standard deviation 8 · 0.5 = 4: the best of 300 stands out. */
const EMBEDDING_DEVIATION = 0.5;
const BIAS_DEVIATION = 0.5;
const NORM_DEVIATION = 0.1;

const DEFAULT_SEED = 1;

/** The same seed and config give the same weights on every machine. */
export function tinyWeights(config: ModelConfig, seed = DEFAULT_SEED): TinyTensor[] {
  const random = seededRandom(seed);
  const layers = Array.from({ length: config.numLayers }, (_, layerIndex) => layerTensors(config, layerIndex));
  return [...headTensors(config), ...layers.flat()].map(({ name, shape }) => ({
    name,
    shape,
    values: randomValues(name.slice(name.lastIndexOf('.') + 1), shape, random),
  }));
}

function randomValues(kind: string, shape: readonly number[], random: SeededRandom): Float32Array {
  const values = new Float32Array(shape.reduce((product, dimension) => product * dimension, 1));
  const [mean, deviation] = distribution(kind, shape.at(-1) ?? 1);
  return values.map(() => mean + deviation * random.normal());
}

function distribution(kind: string, numColumns: number): [mean: number, deviation: number] {
  if (kind.endsWith('Norm')) {
    return [1, NORM_DEVIATION];
  }
  if (kind.endsWith('Bias')) {
    return [0, BIAS_DEVIATION];
  }
  if (kind === 'embedding' || kind === 'lmHead') {
    return [0, EMBEDDING_DEVIATION];
  }
  return [0, (PROJECTION_GAIN[kind] ?? 1) / Math.sqrt(numColumns)];
}
