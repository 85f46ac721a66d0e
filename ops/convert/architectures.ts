/**
 * The decoder architectures that can be converted. One entry says where a source file keeps each tensor and what is
 * peculiar about the model; everything else (RMSNorm, SwiGLU, full rotary, grouped-query attention) is common to all.
 * Another architecture of this family is another entry.
 */
import { ConvertError } from './convert-error.ts';
import { shown } from './json.ts';

/** The part of a canonical tensor name after `layers.N.`, or the whole name of a head tensor. */
type TensorKind =
  | 'embedding'
  | 'finalNorm'
  | 'lmHead'
  | 'attnNorm'
  | 'qProj'
  | 'kProj'
  | 'vProj'
  | 'qBias'
  | 'kBias'
  | 'vBias'
  | 'oProj'
  | 'mlpNorm'
  | 'gateProj'
  | 'upProj'
  | 'downProj';

/** Names in a source format; `{layer}` stands for the layer's index. */
type NameMap = Readonly<Record<TensorKind, string>>;

export interface Architecture {
  /** `general.architecture` of a GGUF file and prefix of its hyperparameters; also recorded in the manifest. */
  readonly name: string;
  /** `model_type` in the config.json of a safetensors model. */
  readonly huggingFaceType: string;
  /** Whether the query, key and value projections add a bias. */
  readonly attentionBias: boolean;
  /** Order of query and key rows in GGUF files: see `weights/row-order.ts`. Safetensors are always in half order. */
  readonly ggufRowOrder: 'interleaved' | 'half';
  readonly ggufNames: NameMap;
  readonly huggingFaceNames: NameMap;
}

const GGUF_NAMES: NameMap = {
  embedding: 'token_embd.weight',
  finalNorm: 'output_norm.weight',
  lmHead: 'output.weight',
  attnNorm: 'blk.{layer}.attn_norm.weight',
  qProj: 'blk.{layer}.attn_q.weight',
  kProj: 'blk.{layer}.attn_k.weight',
  vProj: 'blk.{layer}.attn_v.weight',
  qBias: 'blk.{layer}.attn_q.bias',
  kBias: 'blk.{layer}.attn_k.bias',
  vBias: 'blk.{layer}.attn_v.bias',
  oProj: 'blk.{layer}.attn_output.weight',
  mlpNorm: 'blk.{layer}.ffn_norm.weight',
  gateProj: 'blk.{layer}.ffn_gate.weight',
  upProj: 'blk.{layer}.ffn_up.weight',
  downProj: 'blk.{layer}.ffn_down.weight',
};

const HUGGING_FACE_NAMES: NameMap = {
  embedding: 'model.embed_tokens.weight',
  finalNorm: 'model.norm.weight',
  lmHead: 'lm_head.weight',
  attnNorm: 'model.layers.{layer}.input_layernorm.weight',
  qProj: 'model.layers.{layer}.self_attn.q_proj.weight',
  kProj: 'model.layers.{layer}.self_attn.k_proj.weight',
  vProj: 'model.layers.{layer}.self_attn.v_proj.weight',
  qBias: 'model.layers.{layer}.self_attn.q_proj.bias',
  kBias: 'model.layers.{layer}.self_attn.k_proj.bias',
  vBias: 'model.layers.{layer}.self_attn.v_proj.bias',
  oProj: 'model.layers.{layer}.self_attn.o_proj.weight',
  mlpNorm: 'model.layers.{layer}.post_attention_layernorm.weight',
  gateProj: 'model.layers.{layer}.mlp.gate_proj.weight',
  upProj: 'model.layers.{layer}.mlp.up_proj.weight',
  downProj: 'model.layers.{layer}.mlp.down_proj.weight',
};

export const ARCHITECTURES: readonly Architecture[] = [
  {
    name: 'llama',
    huggingFaceType: 'llama',
    attentionBias: false,
    ggufRowOrder: 'interleaved',
    ggufNames: GGUF_NAMES,
    huggingFaceNames: HUGGING_FACE_NAMES,
  },
  {
    name: 'qwen2',
    huggingFaceType: 'qwen2',
    attentionBias: true,
    ggufRowOrder: 'half',
    ggufNames: GGUF_NAMES,
    huggingFaceNames: HUGGING_FACE_NAMES,
  },
];

/** @throws ConvertError `unsupported-architecture`, listing those that are supported. */
export function findArchitecture(key: 'name' | 'huggingFaceType', value: string): Architecture {
  const found = ARCHITECTURES.find((architecture) => architecture[key] === value);
  if (found === undefined) {
    const known = ARCHITECTURES.map((architecture) => architecture[key]).join(', ');
    throw new ConvertError(
      'unsupported-architecture',
      `the architecture ${shown(value)} is not supported; use a model of one of: ${known}`,
    );
  }
  return found;
}

/** Name in the source of the tensor with the canonical name `layers.N.kind` or `kind`. */
export function sourceTensorName(names: NameMap, canonicalName: string): string {
  const [, layerIndex, kind] = canonicalName.split('.');
  const template = names[(kind ?? canonicalName) as TensorKind];
  return template.replace('{layer}', layerIndex ?? '');
}

/** Whether the rows of this tensor belong to heads that rotary embedding rotates. */
export function isRotated(canonicalName: string): boolean {
  return /\.[qk](Proj|Bias)$/.test(canonicalName);
}
