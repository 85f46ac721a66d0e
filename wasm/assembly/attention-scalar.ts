/** The scalar twin of `attention.ts`: the same sums in the same order, one number at a time. */
import { exp__scalar } from './exp';
import { scalesOffset, valuesOffset } from './kv-write';
import {
  F32_BYTES,
  I16_BYTES,
  KEY_PAIR_BYTES,
  KV_PAIR,
  PAGE_TOKENS,
  PAGE_TOKENS_F32_BYTES,
  QUERY_FACTOR_BYTES,
  VALUE_PAIR_BYTES,
  VALUE_QUAD_BYTES,
  VALUE_QUAD_DIMS,
} from './layout';
import { absMax__scalar, inverseScale, quantise1, scaleOf } from './quantise';

const QUANT16_MAX: f32 = 32767;
const PAGE_TABLE_ENTRY_BYTES: usize = 4;

/** See `f32_kv8_attention__simd128`. */
export function f32_kv8_attention__scalar(
  heads: usize,
  numHeads: i32,
  headDim: i32,
  headPages: usize,
  pageBytes: usize,
  pageTable: usize,
  length: i32,
  scoreScale: f32,
  queries: usize,
  scores: usize,
  weights: usize,
  scoresStride: i32,
): void {
  for (let head = 0; head < numHeads; head++) {
    const query = queries + head * (headDim * I16_BYTES + QUERY_FACTOR_BYTES);
    const values = heads + head * headDim * F32_BYTES;
    const headScores = scores + head * scoresStride * F32_BYTES;
    const headWeights = weights + head * scoresStride * I16_BYTES;
    const queryFactor = quantiseQuery(query, values, headDim) * scoreScale;
    for (let position = 0; position < length; position++) {
      const keys = headPages + pageOf(pageTable, position) * pageBytes;
      const score = <f32>dotKey(query, keys, position % PAGE_TOKENS, headDim);
      const scale = load<f32>(keys + scalesOffset(headDim) + (position % PAGE_TOKENS) * F32_BYTES);
      store<f32>(headScores + position * F32_BYTES, score * (scale * queryFactor));
    }
    const scales = headPages + scalesOffset(headDim) + PAGE_TOKENS_F32_BYTES;
    const factor = softmax(headWeights, headScores, scales, pageBytes, pageTable, length);
    for (let dim = 0; dim < headDim; dim++) {
      let sum: f32 = 0;
      for (let first = 0; first < length; first += PAGE_TOKENS) {
        const pageValues = headPages + pageOf(pageTable, first) * pageBytes + valuesOffset(headDim);
        const numTokens = min(PAGE_TOKENS, length - first);
        sum += <f32>dotValues(headWeights + first * I16_BYTES, pageValues, dim, numTokens);
      }
      store<f32>(values + dim * F32_BYTES, sum * factor);
    }
  }
}

function pageOf(pageTable: usize, position: i32): u32 {
  return load<u32>(pageTable + (position / PAGE_TOKENS) * PAGE_TABLE_ENTRY_BYTES);
}

function quantiseQuery(output: usize, query: usize, headDim: i32): f32 {
  const largest = absMax__scalar(query, headDim);
  const inverse = inverseScale(largest, QUANT16_MAX);
  for (let dim = 0; dim < headDim; dim++) {
    store<i16>(output + dim * I16_BYTES, <i16>quantise1(load<f32>(query + dim * F32_BYTES), inverse));
  }
  return scaleOf(largest, QUANT16_MAX);
}

function dotKey(query: usize, keys: usize, slot: i32, headDim: i32): i32 {
  let dot = 0;
  for (let dim = 0; dim < headDim; dim++) {
    const key = load<i8>(keys + (dim / KV_PAIR) * KEY_PAIR_BYTES + slot * KV_PAIR + (dim % KV_PAIR));
    dot += <i32>load<i16>(query + dim * I16_BYTES) * <i32>key;
  }
  return dot;
}

function softmax(
  weights: usize,
  scores: usize,
  valueScales: usize,
  pageBytes: usize,
  pageTable: usize,
  length: i32,
): f32 {
  let largest: f32 = -Infinity;
  for (let position = 0; position < length; position++) {
    largest = max<f32>(largest, load<f32>(scores + position * F32_BYTES));
  }
  let sum0: f32 = 0;
  let sum1: f32 = 0;
  let sum2: f32 = 0;
  let sum3: f32 = 0;
  let weightMax: f32 = 0;
  for (let position = 0; position < length; position++) {
    const power = exp__scalar(load<f32>(scores + position * F32_BYTES) - largest);
    const lane = position % 4;
    if (lane == 0) sum0 += power;
    else if (lane == 1) sum1 += power;
    else if (lane == 2) sum2 += power;
    else sum3 += power;
    const scaleAt = valueScales + pageOf(pageTable, position) * pageBytes + (position % PAGE_TOKENS) * F32_BYTES;
    const weight: f32 = power == 0 ? 0 : power * load<f32>(scaleAt);
    weightMax = max<f32>(weightMax, weight);
    store<f32>(scores + position * F32_BYTES, weight);
  }
  const inverse = inverseScale(weightMax, QUANT16_MAX);
  for (let position = 0; position < length; position++) {
    const weight = quantise1(load<f32>(scores + position * F32_BYTES), inverse);
    store<i16>(weights + position * I16_BYTES, <i16>weight);
  }
  return scaleOf(weightMax, QUANT16_MAX) / (sum0 + sum1 + (sum2 + sum3));
}

function dotValues(weights: usize, values: usize, dim: i32, numTokens: i32): i32 {
  const quad = values + (dim / VALUE_QUAD_DIMS) * VALUE_QUAD_BYTES + (dim % VALUE_QUAD_DIMS) * KV_PAIR;
  let dot = 0;
  for (let slot = 0; slot < numTokens; slot++) {
    const value = load<i8>(quad + (slot / KV_PAIR) * VALUE_PAIR_BYTES + (slot % KV_PAIR));
    dot += <i32>load<i16>(weights + slot * I16_BYTES) * <i32>value;
  }
  return dot;
}
