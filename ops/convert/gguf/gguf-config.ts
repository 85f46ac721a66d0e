/** Hyperparameters of a GGUF file → `ModelConfig`; what the kernels cannot do is refused by name. */
import type { ModelConfig } from '../../../wasm/host/model-config.ts';
import type { Architecture } from '../architectures.ts';
import { ConvertError } from '../convert-error.ts';
import { shown } from '../json.ts';
import type { GgufMetadata } from './metadata.ts';

/** llama.cpp's default for a file without `rope.freq_base`. */
const DEFAULT_ROPE_THETA = 10_000;

/** Entries that `readGgufConfig` reads or checks, without the architecture's prefix. */
const KNOWN_HYPERPARAMETERS = new Set([
  'block_count',
  'context_length',
  'embedding_length',
  'feed_forward_length',
  'attention.head_count',
  'attention.head_count_kv',
  'attention.key_length',
  'attention.value_length',
  'attention.layer_norm_rms_epsilon',
  'rope.freq_base',
  'rope.dimension_count',
  'rope.scaling.type',
  'rope.scaling.factor',
  'rope.scale_linear',
  'vocab_size',
  'expert_count',
  'expert_used_count',
]);

/** @param vocabSize rows of the embedding; @param tiedEmbedding whether the file has no LM head of its own */
export function readGgufConfig(
  metadata: GgufMetadata,
  architecture: Architecture,
  vocabSize: number,
  tiedEmbedding: boolean,
): ModelConfig {
  const key = (name: string): string => `${architecture.name}.${name}`;
  refuseUnknown(metadata, `${architecture.name}.`);
  refuseUnsupported(metadata, key);
  const hiddenSize = metadata.integer(key('embedding_length'));
  const numQueryHeads = metadata.integer(key('attention.head_count'));
  const headDim = metadata.optionalInteger(key('attention.key_length')) ?? hiddenSize / numQueryHeads;
  for (const name of ['attention.value_length', 'rope.dimension_count']) {
    const size = metadata.optionalInteger(key(name)) ?? headDim;
    if (size !== headDim) {
      throw new ConvertError(
        'unsupported-hyperparameter',
        `${key(name)} is ${size} and the head dimension ${headDim}: partial rotary embedding and values of another size are not supported`,
      );
    }
  }
  return {
    hiddenSize,
    intermediateSize: metadata.integer(key('feed_forward_length')),
    numLayers: metadata.integer(key('block_count')),
    numQueryHeads,
    numKvHeads: metadata.optionalInteger(key('attention.head_count_kv')) ?? numQueryHeads,
    headDim,
    vocabSize,
    rmsNormEps: metadata.number(key('attention.layer_norm_rms_epsilon')),
    ropeTheta: metadata.optionalNumber(key('rope.freq_base')) ?? DEFAULT_ROPE_THETA,
    contextLengthMax: metadata.integer(key('context_length')),
    attentionBias: architecture.attentionBias,
    tiedEmbedding,
  };
}

/** A hyperparameter that this code has never heard of may change the arithmetic. */
function refuseUnknown(metadata: GgufMetadata, prefix: string): void {
  for (const key of metadata.keys()) {
    if (key.startsWith(prefix) && !KNOWN_HYPERPARAMETERS.has(key.slice(prefix.length))) {
      throw new ConvertError(
        'unsupported-hyperparameter',
        `the hyperparameter ${key} is not supported: the kernels might compute something else than the model means`,
      );
    }
  }
}

function refuseUnsupported(metadata: GgufMetadata, key: (name: string) => string): void {
  const scalingType = metadata.optionalString(key('rope.scaling.type')) ?? 'none';
  if (scalingType !== 'none') {
    throw new ConvertError(
      'unsupported-rope',
      `the RoPE scaling ${shown(scalingType)} is not supported; use a model without RoPE scaling`,
    );
  }
  for (const name of ['rope.scaling.factor', 'rope.scale_linear']) {
    const factor = metadata.optionalNumber(key(name)) ?? 1;
    // ggml writes 0 for "not set".
    if (factor !== 1 && factor !== 0) {
      throw new ConvertError('unsupported-rope', `${key(name)} is ${factor}; use a model without RoPE scaling`);
    }
  }
  const numExperts = metadata.optionalInteger(key('expert_count')) ?? 0;
  if (numExperts > 0) {
    throw new ConvertError(
      'unsupported-hyperparameter',
      `the model is a mixture of ${numExperts} experts; use a dense model`,
    );
  }
}
