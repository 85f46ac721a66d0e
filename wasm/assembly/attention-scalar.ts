/** The scalar twin of `attention.ts`: the same sums in the same order, one number at a time, with undivided quants. */
import { PAGE_TABLE_ENTRY_BYTES, QUERY_QUANT_MAX } from './attention';
import { partBytes, scalesOffset } from './kv-write';
import { F32_BYTES, KV_QUAD, KV_QUAD_BYTES, PAGE_TOKENS, VALUE_QUAD_BYTES } from './layout';
import { absMax__scalar, inverseScale, quantise1, scaleOf } from './quantise';
import { softmaxPower__scalar, weightInverse__scalar, weightScale__scalar } from './softmax';

const I16_BYTES: usize = 2;

/** See `f32_kv8_attention__simd128`; the scratch `queries` holds one head's quants, i16, at a time. */
export function f32_kv8_attention__scalar(
  heads: usize,
  numHeads: i32,
  headDim: i32,
  keyPages: usize,
  valuePages: usize,
  pageTable: usize,
  length: i32,
  scoreScale: f32,
  queries: usize,
  scores: usize,
  scoresStride: i32,
): void {
  const pageBytes = partBytes(headDim);
  for (let head = 0; head < numHeads; head++) {
    const output = heads + head * headDim * F32_BYTES;
    const headScores = scores + head * scoresStride * F32_BYTES;
    const queryFactor = quantiseQuery(queries, output, headDim) * scoreScale;
    let largest: f32 = -Infinity;
    for (let position = 0; position < length; position++) {
      const keys = keyPages + pageOf(pageTable, position) * pageBytes;
      const scale = load<f32>(keys + scalesOffset(headDim) + (position % PAGE_TOKENS) * F32_BYTES);
      const score: f32 = <f32>dotKey(queries, keys, position % PAGE_TOKENS, headDim) * (scale * queryFactor);
      largest = max<f32>(largest, score);
      store<f32>(headScores + position * F32_BYTES, score);
    }
    const sum = sumPowers(headScores, largest, length);
    memory.fill(output, 0, headDim * F32_BYTES);
    for (let first = 0; first < length; first += PAGE_TOKENS) {
      const page = valuePages + pageOf(pageTable, first) * pageBytes;
      addPage(output, headScores + first * F32_BYTES, page, min(PAGE_TOKENS, length - first), headDim);
    }
    for (let at = output, end = output + headDim * F32_BYTES; at < end; at += F32_BYTES) {
      store<f32>(at, load<f32>(at) / sum);
    }
  }
}

function pageOf(pageTable: usize, position: i32): u32 {
  return load<u32>(pageTable + (position / PAGE_TOKENS) * PAGE_TABLE_ENTRY_BYTES);
}

function quantiseQuery(output: usize, query: usize, headDim: i32): f32 {
  const largest = absMax__scalar(query, headDim);
  const inverse = inverseScale(largest, QUERY_QUANT_MAX);
  for (let dim = 0; dim < headDim; dim++) {
    store<i16>(output + dim * I16_BYTES, <i16>quantise1(load<f32>(query + dim * F32_BYTES), inverse));
  }
  return scaleOf(largest, QUERY_QUANT_MAX);
}

function dotKey(query: usize, keys: usize, slot: i32, headDim: i32): i32 {
  let dot = 0;
  for (let dim = 0; dim < headDim; dim++) {
    const key = load<i8>(keys + (dim / KV_QUAD) * KV_QUAD_BYTES + slot * KV_QUAD + (dim % KV_QUAD));
    dot += <i32>load<i16>(query + dim * I16_BYTES) * <i32>key;
  }
  return dot;
}

/** Replaces scores by e^(score - largest). @returns their sum, by way of four, each over every fourth position */
function sumPowers(scores: usize, largest: f32, length: i32): f32 {
  let sum0: f32 = 0;
  let sum1: f32 = 0;
  let sum2: f32 = 0;
  let sum3: f32 = 0;
  for (let position = 0; position < length; position++) {
    const at = scores + position * F32_BYTES;
    const power = softmaxPower__scalar(load<f32>(at) - largest);
    store<f32>(at, power);
    const lane = position % 4;
    if (lane == 0) sum0 += power;
    else if (lane == 1) sum1 += power;
    else if (lane == 2) sum2 += power;
    else sum3 += power;
  }
  return sum0 + sum1 + (sum2 + sum3);
}

/** Replaces a page's powers by weights, and adds weight * value to `output`. */
function addPage(output: usize, powers: usize, page: usize, numTokens: i32, headDim: i32): void {
  const scales = page + scalesOffset(headDim);
  let weightMax: f32 = 0;
  for (let slot = 0; slot < numTokens; slot++) {
    const power = load<f32>(powers + slot * F32_BYTES);
    const weight = power * load<f32>(scales + slot * F32_BYTES);
    weightMax = max<f32>(weightMax, weight);
    store<f32>(powers + slot * F32_BYTES, weight);
  }
  const inverse = weightInverse__scalar(weightMax);
  const factor = weightScale__scalar(weightMax);
  for (let dim = 0; dim < headDim; dim++) {
    const quad = page + (dim / KV_QUAD) * KV_QUAD_BYTES + (dim % KV_QUAD) * KV_QUAD;
    let dot = 0;
    for (let slot = 0; slot < numTokens; slot++) {
      const value = load<i8>(quad + (slot / KV_QUAD) * VALUE_QUAD_BYTES + (slot % KV_QUAD));
      dot += quantise1(load<f32>(powers + slot * F32_BYTES), inverse) * <i32>value;
    }
    const at = output + dim * F32_BYTES;
    store<f32>(at, load<f32>(at) + <f32>dot * factor);
  }
}
