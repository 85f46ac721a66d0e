/** What the module exports: the calls of a stage, and every kernel with its scalar twin for tests and benchmarks. */
export { compute_logits, embed_tokens, forward_layers } from './forward';

export { f32_kv8_attention__simd128 } from './attention';
export { f32_kv8_attention__scalar } from './attention-scalar';
export { f32_add__scalar, f32_add__simd128, f32_swiglu__scalar, f32_swiglu__simd128 } from './elementwise';
export { qb8w_f32_gather__scalar, qb8w_f32_gather__simd128 } from './embedding';
export { f16_f32_standardise__scalar, f16_f32_standardise__simd128 } from './f16-f32-standardise';
export { f32_exp__scalar, f32_exp__simd128 } from './exp';
export { f32_f32_f32_gemm__scalar, f32_f32_f32_gemm__simd128 } from './f32-f32-f32-gemm';
export { f32_f32_f32_outer__scalar, f32_f32_f32_outer__simd128 } from './f32-f32-f32-outer';
export { f32_kv8_write__scalar, f32_kv8_write__simd128 } from './kv-write';
export { qd8_f32_qb4w_gemm__scalar, qd8_f32_qb4w_gemm__simd128 } from './qd8-f32-qb4w-gemm';
export { qd8_f32_qb8w_gemm__scalar, qd8_f32_qb8w_gemm__simd128 } from './qd8-f32-qb8w-gemm';
export {
  f32_qd8_quantise__scalar,
  f32_qd8_quantise__simd128,
  f32_qd8_quantise_split__scalar,
  f32_qd8_quantise_split__simd128,
} from './qd8-quantise';
export { f32_rms_norm__scalar, f32_rms_norm__simd128 } from './rms-norm';
export { f32_rope__scalar, f32_rope__simd128 } from './rope';

/** First byte that the compiler left free: the host checks that its arena starts no earlier. */
export function heap_base(): usize {
  return __heap_base;
}

export { memory_read__simd128 } from './bandwidth';
