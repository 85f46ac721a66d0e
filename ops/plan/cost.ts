/**
 * Multiply-adds of one token, by part of the model: the measure by which stages are balanced. Kernels read each weight
 * once per step and are bound by that, so a part's time is close to proportional to its multiply-adds.
 */
import { headTensors, layerTensors, type ModelConfig } from '../../wasm/host/model-config.ts';
import { ATTENDED_CONTEXT_SHARE } from './limits.ts';

export interface TokenCost {
  /** One decoder layer: its matrices, and attention over half of the context. */
  readonly layerMacs: number;
  /** The LM head. The embedding is a lookup and costs nothing. */
  readonly headMacs: number;
}

export function tokenCost(config: ModelConfig, contextLength: number): TokenCost {
  const matrixMacs = layerTensors(config, 0)
    .filter((tensor) => tensor.shape.length === 2)
    .reduce((sum, tensor) => sum + (tensor.shape[0] ?? 0) * (tensor.shape[1] ?? 0), 0);
  // Once for the scores (query times key) and once for the weighted sum of the values.
  const attentionMacs = 2 * config.numQueryHeads * config.headDim * contextLength * ATTENDED_CONTEXT_SHARE;
  const [embedding] = headTensors(config);
  return {
    layerMacs: matrixMacs + attentionMacs,
    headMacs: (embedding?.shape[0] ?? 0) * (embedding?.shape[1] ?? 0),
  };
}
