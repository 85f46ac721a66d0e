/**
 * Tiny random-weight models for tests: complete GGUF files that llama.cpp loads too, converted through the same code as
 * real models.
 */
import { mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import type { ModelConfig } from '../../wasm/host/model-config.ts';
import { convertModel } from '../convert/convert-model.ts';
import { encodeGgml, type EncodableType } from './ggml-encode.ts';
import { encodeGguf, type GgufContent, type GgufTensor, type GgufValue } from './gguf-writer.ts';
import { tinyVocabulary, TINY_CHAT_TEMPLATE } from './tiny-vocabulary.ts';
import { tinyWeights, type TinyTensor } from './tiny-weights.ts';

export interface TinyModelOptions {
  /** `llama` stores query and key rows for interleaved RoPE; `qwen2` has attention biases. Default `llama`. */
  readonly architecture?: 'llama' | 'qwen2';
  /** Whether the embedding is the LM head too. Default true. */
  readonly tied?: boolean;
  readonly seed?: number;
  /** Tensor type of the layers' matrices. Default `Q4_1`. */
  readonly layerType?: EncodableType;
  /** Tensor type of the embedding and of an untied head. Default `Q8_0`. */
  readonly embeddingType?: EncodableType;
  /** Changes to the default shape; `vocabSize`, `attentionBias` and `tiedEmbedding` are fixed by the other options. */
  readonly shape?: Partial<Omit<ModelConfig, 'vocabSize' | 'attentionBias' | 'tiedEmbedding'>>;
}

/** 5 layers, so that splits into 1, 2, 3 and 5 stages are all uneven or degenerate somewhere. */
const DEFAULT_SHAPE = {
  hiddenSize: 64,
  intermediateSize: 96,
  numLayers: 5,
  numQueryHeads: 4,
  numKvHeads: 2,
  headDim: 16,
  rmsNormEps: 1e-5,
  ropeTheta: 10000,
  contextLengthMax: 512,
} as const;

export function tinyConfig(options: TinyModelOptions = {}): ModelConfig {
  return {
    ...DEFAULT_SHAPE,
    ...options.shape,
    vocabSize: tinyVocabulary().tokens.length,
    attentionBias: options.architecture === 'qwen2',
    tiedEmbedding: options.tied ?? true,
  };
}

/** The file's content before it is encoded, for tests that change something in it. */
export function tinyGgufContent(options: TinyModelOptions = {}): GgufContent {
  const architecture = options.architecture ?? 'llama';
  const config = tinyConfig(options);
  const toGguf = (tensor: TinyTensor): GgufTensor => {
    const type = tensorType(tensor, options);
    const values = architecture === 'llama' ? interleaveHeads(tensor, config.headDim) : tensor.values;
    return { name: ggufName(tensor.name), shape: tensor.shape, type, data: encodeGgml(type, values) };
  };
  return {
    metadata: tinyMetadata(architecture, config),
    tensors: tinyWeights(config, options.seed).map(toGguf),
  };
}

/** Writes the GGUF file and the folders above it. */
export async function writeTinyGguf(file: string, options: TinyModelOptions = {}): Promise<void> {
  await mkdir(path.dirname(file), { recursive: true });
  await writeFile(file, encodeGguf(tinyGgufContent(options)));
}

/**
 * Writes `<dir>/tiny.gguf` and converts it.
 * @returns the folder of the converted model, `<dir>/tiny`.
 */
export async function convertTinyModel(dir: string, options: TinyModelOptions = {}): Promise<string> {
  const source = path.join(dir, 'tiny.gguf');
  const outDir = path.join(dir, 'tiny');
  await writeTinyGguf(source, options);
  await convertModel({ source, outDir, modelName: 'tiny' });
  return outDir;
}

function tensorType(tensor: TinyTensor, options: TinyModelOptions): EncodableType {
  if (tensor.shape.length === 1) {
    return 'F32';
  }
  return tensor.name.startsWith('layers.') ? (options.layerType ?? 'Q4_1') : (options.embeddingType ?? 'Q8_0');
}

/** Canonical tensor name → GGUF tensor name. */
const GGUF_HEAD_NAMES: Readonly<Record<string, string>> = {
  embedding: 'token_embd.weight',
  finalNorm: 'output_norm.weight',
  lmHead: 'output.weight',
};
const GGUF_LAYER_NAMES: Readonly<Record<string, string>> = {
  attnNorm: 'attn_norm.weight',
  qProj: 'attn_q.weight',
  kProj: 'attn_k.weight',
  vProj: 'attn_v.weight',
  qBias: 'attn_q.bias',
  kBias: 'attn_k.bias',
  vBias: 'attn_v.bias',
  oProj: 'attn_output.weight',
  mlpNorm: 'ffn_norm.weight',
  gateProj: 'ffn_gate.weight',
  upProj: 'ffn_up.weight',
  downProj: 'ffn_down.weight',
};

function ggufName(name: string): string {
  const [, layerIndex, kind] = name.split('.');
  const known = kind === undefined ? GGUF_HEAD_NAMES[name] : GGUF_LAYER_NAMES[kind];
  if (known === undefined) {
    throw new Error(`no GGUF name for the tensor ${name}`);
  }
  return kind === undefined ? known : `blk.${layerIndex}.${known}`;
}

/** Rows of query and key heads in the order of interleaved RoPE: i and i + headDim / 2 become neighbours. */
function interleaveHeads({ name, shape, values }: TinyTensor, headDim: number): Float32Array {
  if (!name.endsWith('.qProj') && !name.endsWith('.kProj')) {
    return values;
  }
  const numColumns = shape[1] ?? 1;
  const permuted = new Float32Array(values.length);
  for (let row = 0; row < values.length / numColumns; row++) {
    const inHead = row % headDim;
    const half = headDim / 2;
    const target = row - inHead + (inHead < half ? inHead * 2 : (inHead - half) * 2 + 1);
    permuted.set(values.subarray(row * numColumns, (row + 1) * numColumns), target * numColumns);
  }
  return permuted;
}

function tinyMetadata(architecture: 'llama' | 'qwen2', config: ModelConfig): Map<string, GgufValue> {
  const vocabulary = tinyVocabulary();
  const u32 = (value: number): GgufValue => ({ type: 'u32', value });
  const text = (value: string): GgufValue => ({ type: 'string', value });
  return new Map<string, GgufValue>([
    ['general.architecture', text(architecture)],
    ['general.name', text('tiny random model')],
    [`${architecture}.block_count`, u32(config.numLayers)],
    [`${architecture}.context_length`, u32(config.contextLengthMax)],
    [`${architecture}.embedding_length`, u32(config.hiddenSize)],
    [`${architecture}.feed_forward_length`, u32(config.intermediateSize)],
    [`${architecture}.attention.head_count`, u32(config.numQueryHeads)],
    [`${architecture}.attention.head_count_kv`, u32(config.numKvHeads)],
    [`${architecture}.attention.key_length`, u32(config.headDim)],
    [`${architecture}.attention.value_length`, u32(config.headDim)],
    [`${architecture}.rope.dimension_count`, u32(config.headDim)],
    [`${architecture}.rope.freq_base`, { type: 'f32', value: config.ropeTheta }],
    [`${architecture}.attention.layer_norm_rms_epsilon`, { type: 'f32', value: config.rmsNormEps }],
    ['tokenizer.ggml.model', text('gpt2')],
    ['tokenizer.ggml.pre', text(architecture === 'qwen2' ? 'qwen2' : 'smollm')],
    ['tokenizer.ggml.tokens', { type: 'strings', value: vocabulary.tokens }],
    ['tokenizer.ggml.token_type', { type: 'i32s', value: vocabulary.tokenTypes }],
    ['tokenizer.ggml.merges', { type: 'strings', value: vocabulary.merges }],
    ['tokenizer.ggml.bos_token_id', u32(vocabulary.endOfTextId)],
    ['tokenizer.ggml.eos_token_id', u32(vocabulary.imEndId)],
    ['tokenizer.ggml.add_bos_token', { type: 'bool', value: false }],
    ['tokenizer.chat_template', text(TINY_CHAT_TEMPLATE)],
  ]);
}
