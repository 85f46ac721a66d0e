/** Tiny random-weight models as Hugging Face folders: the same weights as the GGUF files of `tiny-model.ts`. */
import { mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import type { ModelConfig } from '../../wasm/host/model-config.ts';
import { encodeSafetensors, type SafetensorsTensor } from './safetensors-writer.ts';
import { tinyConfig, type TinyModelOptions } from './tiny-model.ts';
import { TINY_CHAT_TEMPLATE, TINY_CONTROL_TOKENS, tinyVocabulary } from './tiny-vocabulary.ts';
import { tinyWeights } from './tiny-weights.ts';

export interface TinyHuggingFaceOptions extends Omit<TinyModelOptions, 'layerType' | 'embeddingType'> {
  /** Type of every tensor. Default `F32`. */
  readonly type?: SafetensorsTensor['type'];
  /** Files that the weights are spread over; more than one needs an index. Default 1. */
  readonly numFiles?: number;
  /** Entries that are added to config.json or replace others. */
  readonly config?: Readonly<Record<string, unknown>>;
}

const HEAD_NAMES: Readonly<Record<string, string>> = {
  embedding: 'model.embed_tokens.weight',
  finalNorm: 'model.norm.weight',
  lmHead: 'lm_head.weight',
};
const LAYER_NAMES: Readonly<Record<string, string>> = {
  attnNorm: 'input_layernorm.weight',
  qProj: 'self_attn.q_proj.weight',
  kProj: 'self_attn.k_proj.weight',
  vProj: 'self_attn.v_proj.weight',
  qBias: 'self_attn.q_proj.bias',
  kBias: 'self_attn.k_proj.bias',
  vBias: 'self_attn.v_proj.bias',
  oProj: 'self_attn.o_proj.weight',
  mlpNorm: 'post_attention_layernorm.weight',
  gateProj: 'mlp.gate_proj.weight',
  upProj: 'mlp.up_proj.weight',
  downProj: 'mlp.down_proj.weight',
};

/** Writes the folder with weights, config.json, tokenizer.json and tokenizer_config.json. */
export async function writeTinyHuggingFace(dir: string, options: TinyHuggingFaceOptions = {}): Promise<void> {
  const config = tinyConfig(options);
  const type = options.type ?? 'F32';
  const tensors = tinyWeights(config, options.seed).map(({ name, shape, values }) => ({
    name: huggingFaceName(name),
    shape,
    type,
    values,
  }));
  await mkdir(dir, { recursive: true });
  const writeText = (name: string, value: unknown): Promise<void> =>
    writeFile(path.join(dir, name), JSON.stringify(value));
  await writeText('config.json', { ...configJson(config, options), ...options.config });
  await writeText('tokenizer.json', tokenizerJson());
  await writeText('tokenizer_config.json', {
    bos_token: '<|endoftext|>',
    eos_token: { content: '<|im_end|>', special: true },
    add_bos_token: false,
    chat_template: TINY_CHAT_TEMPLATE,
  });
  const numFiles = options.numFiles ?? 1;
  if (numFiles === 1) {
    await writeFile(path.join(dir, 'model.safetensors'), encodeSafetensors(tensors));
    return;
  }
  const weightMap: Record<string, string> = {};
  for (let i = 0; i < numFiles; i++) {
    const inFile = tensors.filter((_, index) => index % numFiles === i);
    const name = `model-${fiveDigits(i + 1)}-of-${fiveDigits(numFiles)}.safetensors`;
    await writeFile(path.join(dir, name), encodeSafetensors(inFile));
    inFile.forEach((tensor) => (weightMap[tensor.name] = name));
  }
  await writeText('model.safetensors.index.json', { metadata: {}, weight_map: weightMap });
}

function huggingFaceName(name: string): string {
  const [, layerIndex, kind] = name.split('.');
  const known = kind === undefined ? HEAD_NAMES[name] : LAYER_NAMES[kind];
  if (known === undefined) {
    throw new Error(`no Hugging Face name for the tensor ${name}`);
  }
  return kind === undefined ? known : `model.layers.${layerIndex}.${known}`;
}

function configJson(config: ModelConfig, options: TinyHuggingFaceOptions): Record<string, unknown> {
  return {
    model_type: options.architecture ?? 'llama',
    hidden_size: config.hiddenSize,
    intermediate_size: config.intermediateSize,
    num_hidden_layers: config.numLayers,
    num_attention_heads: config.numQueryHeads,
    num_key_value_heads: config.numKvHeads,
    head_dim: config.headDim,
    vocab_size: config.vocabSize,
    rms_norm_eps: config.rmsNormEps,
    rope_theta: config.ropeTheta,
    rope_scaling: null,
    max_position_embeddings: config.contextLengthMax,
    tie_word_embeddings: config.tiedEmbedding,
    hidden_act: 'silu',
  };
}

function tokenizerJson(): object {
  const { tokens, merges } = tinyVocabulary();
  const byteLevel = { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: true };
  return {
    version: '1.0',
    added_tokens: TINY_CONTROL_TOKENS.map((content, id) => ({ id, content, special: true, normalized: false })),
    normalizer: null,
    pre_tokenizer: byteLevel,
    post_processor: null,
    decoder: byteLevel,
    model: { type: 'BPE', vocab: Object.fromEntries(tokens.map((token, id) => [token, id])), merges },
  };
}

function fiveDigits(value: number): string {
  return String(value).padStart(5, '0');
}
