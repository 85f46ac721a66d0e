/** `config.json` of a Hugging Face model → `ModelConfig`; what the kernels cannot do is refused by name. */
import type { ModelConfig } from '../../../wasm/host/model-config.ts';
import type { Architecture } from '../architectures.ts';
import { ConvertError } from '../convert-error.ts';
import { isObject, shown, type JsonObject } from '../json.ts';

/** Default of `rope_theta` in transformers. */
const DEFAULT_ROPE_THETA = 10_000;

/** Fields that must be absent, null, or one of these values. */
const REQUIRED_VALUES: Readonly<Record<string, readonly unknown[]>> = {
  hidden_act: ['silu'],
  // A bias of llama's attention also covers the output projection, and the kernels have no such bias.
  attention_bias: [false],
  mlp_bias: [false],
  use_sliding_window: [false],
  partial_rotary_factor: [1],
  rope_interleaved: [false],
  quantization_config: [],
  pretraining_tp: [1],
};

/** RoPE types that mean plain RoPE. */
const PLAIN_ROPE_TYPES: readonly unknown[] = [undefined, null, 'default', 'none'];

/** @throws ConvertError `missing-metadata`, `invalid-metadata`, `unsupported-rope` or `unsupported-hyperparameter` */
export function readHuggingFaceConfig(json: JsonObject, architecture: Architecture): ModelConfig {
  refuseUnsupported(json);
  const hiddenSize = number(json, 'hidden_size');
  const numQueryHeads = number(json, 'num_attention_heads');
  return {
    hiddenSize,
    intermediateSize: number(json, 'intermediate_size'),
    numLayers: number(json, 'num_hidden_layers'),
    numQueryHeads,
    numKvHeads: optionalNumber(json, 'num_key_value_heads') ?? numQueryHeads,
    headDim: optionalNumber(json, 'head_dim') ?? hiddenSize / numQueryHeads,
    vocabSize: number(json, 'vocab_size'),
    rmsNormEps: number(json, 'rms_norm_eps'),
    ropeTheta: ropeTheta(json),
    contextLengthMax: number(json, 'max_position_embeddings'),
    attentionBias: architecture.attentionBias,
    tiedEmbedding: json['tie_word_embeddings'] === true,
  };
}

function refuseUnsupported(json: JsonObject): void {
  for (const [name, allowed] of Object.entries(REQUIRED_VALUES)) {
    const value = json[name] ?? null;
    if (value !== null && !allowed.includes(value)) {
      throw new ConvertError(
        'unsupported-hyperparameter',
        `${name} is ${shown(value)} in config.json, which is not supported; use a model without it`,
      );
    }
  }
}

/** Older files have `rope_theta` and `rope_scaling`, newer ones put both into `rope_parameters`. */
function ropeTheta(json: JsonObject): number {
  for (const name of ['rope_scaling', 'rope_parameters']) {
    const value = json[name] ?? {};
    const type = isObject(value) ? (value['rope_type'] ?? value['type']) : value;
    if (!PLAIN_ROPE_TYPES.includes(type)) {
      throw new ConvertError(
        'unsupported-rope',
        `the RoPE scaling ${shown(type)} is not supported; use a model without RoPE scaling`,
      );
    }
  }
  const parameters = json['rope_parameters'];
  const nested = isObject(parameters) ? optionalNumber(parameters, 'rope_theta') : null;
  return nested ?? optionalNumber(json, 'rope_theta') ?? DEFAULT_ROPE_THETA;
}

function number(json: JsonObject, name: string): number {
  const value = optionalNumber(json, name);
  if (value === null) {
    throw new ConvertError('missing-metadata', `config.json has no ${name}; fetch the model again`);
  }
  return value;
}

function optionalNumber(json: JsonObject, name: string): number | null {
  const value = json[name] ?? null;
  if (value !== null && typeof value !== 'number') {
    throw new ConvertError('invalid-metadata', `${name} in config.json should be a number`);
  }
  return value;
}
