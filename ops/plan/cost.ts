/**
 * The time of one token, by part of the model: what stages are balanced by. Multiply-adds over the rate at which their kernel
 * does them; a layer's two matrix formats and its attention are not equally fast, and the LM head is a kernel of its own.
 */
import { headTensors, layerTensors, type ModelConfig } from '../../wasm/host/model-config.ts';
import {
  ATTENDED_TOKENS,
  ATTENTION_MACS_PER_US,
  HEAD_MACS_PER_US,
  LAYER_MACS_PER_US,
  OUTPUT_TOKEN_SHARE,
} from './limits.ts';

/** Microseconds of one core of the machine that the rates were measured on. */
export interface TokenTime {
  /** One decoder layer: its matrices, and attention over `attendedTokens`. */
  readonly layerUs: number;
  /** The LM head, for the share of tokens whose logits are wanted. The embedding is a lookup and costs nothing. */
  readonly headUs: number;
}

/** Tokens that a token attends to on average: half of a context that is filled, at most `ATTENDED_TOKENS`. */
export function attendedTokens(contextLength: number): number {
  return Math.min(contextLength / 2, ATTENDED_TOKENS);
}

export function tokenTime(config: ModelConfig, contextLength: number): TokenTime {
  const matrixMacs = layerTensors(config, 0)
    .filter((tensor) => tensor.shape.length === 2)
    .reduce((sum, tensor) => sum + (tensor.shape[0] ?? 0) * (tensor.shape[1] ?? 0), 0);
  // Once for the scores (query times key) and once for the weighted sum of the values.
  const attentionMacs = 2 * config.numQueryHeads * config.headDim * attendedTokens(contextLength);
  const [embedding] = headTensors(config);
  const headMacs = (embedding?.shape[0] ?? 0) * (embedding?.shape[1] ?? 0);
  return {
    layerUs: matrixMacs / LAYER_MACS_PER_US + attentionMacs / ATTENTION_MACS_PER_US,
    headUs: (headMacs / HEAD_MACS_PER_US) * OUTPUT_TOKEN_SHARE,
  };
}
