/** The typed face of `kernels.wasm`. Addresses are byte offsets in the memory; nothing outside `wasm/` sees one. */
import { ARENA_BASE } from '../assembly/layout.ts';
import { assert } from './assert.ts';

type Gemm = (
  output: number,
  activations: number,
  weights: number,
  numTokens: number,
  rows: number,
  cols: number,
) => void;
type PackedGemm = (
  output: number,
  activations: number,
  weights: number,
  numTokens: number,
  rows: number,
  cols: number,
  decoded: number,
) => void;
type Quantise = (output: number, input: number, numTokens: number, size: number) => void;
type RmsNorm = (output: number, input: number, weight: number, size: number, eps: number) => void;
type Rope = (heads: number, rotation: number, numHeads: number, headDim: number) => void;
type KvWrite = (keys: number, values: number, slot: number, key: number, value: number, headDim: number) => void;
type Gather = (output: number, weights: number, row: number, cols: number) => void;
type Standardise = (
  output: number,
  features: number,
  means: number,
  scales: number,
  numRows: number,
  numParts: number,
  partSize: number,
  cols: number,
) => void;
type Elementwise = (target: number, other: number, size: number) => void;
type Attention = (
  heads: number,
  numHeads: number,
  headDim: number,
  keyPages: number,
  valuePages: number,
  pageTable: number,
  length: number,
  scoreScale: number,
  queries: number,
  scores: number,
  scoresStride: number,
) => void;

/** Kernels by name; each is exported as `<name>__simd128` and `<name>__scalar`. */
export interface KernelSignatures {
  qd8_f32_qb4w_gemm: PackedGemm;
  qd8_f32_qb8w_gemm: Gemm;
  f32_f32_f32_gemm: Gemm;
  f32_f32_f32_outer: Gemm;
  f16_f32_standardise: Standardise;
  f32_qd8_quantise: Quantise;
  f32_qd8_quantise_split: Quantise;
  f32_rms_norm: RmsNorm;
  f32_rope: Rope;
  f32_kv8_write: KvWrite;
  f32_kv8_attention: Attention;
  f32_exp: Elementwise;
  f32_add: Elementwise;
  f32_swiglu: Elementwise;
  qb8w_f32_gather: Gather;
}

export type KernelName = keyof KernelSignatures;
export type KernelVariant = 'simd128' | 'scalar';

type KernelExports = { readonly [Name in KernelName as `${Name}__${KernelVariant}`]: KernelSignatures[Name] };

/** Everything the module exports. The arguments are documented in `wasm/assembly`. */
export interface Kernels extends KernelExports {
  forward_layers(stage: number, numTokens: number, layerStart: number, layerEnd: number): void;
  embed_tokens(stage: number, numTokens: number): void;
  compute_logits(stage: number, numRows: number): void;
  memory_read__simd128(address: number, bytes: number): number;
  heap_base(): number;
}

/** Binds the kernels to a memory. */
export function instantiateKernels(module: WebAssembly.Module, memory: WebAssembly.Memory): Kernels {
  const instance = new WebAssembly.Instance(module, { env: { memory } });
  const kernels = instance.exports as unknown as Kernels;
  assert(kernels.heap_base() <= ARENA_BASE, `static data ends at ${kernels.heap_base()}, beyond ${ARENA_BASE}`);
  return kernels;
}
