/**
 * A stage's part of a step, in one call. The host writes the stage descriptor once, and before each step the tokens'
 * positions, page tables and rotations; see `layout.ts`. Every operation works on each token alone, or on its sequence's
 * pages, so how a prompt is cut and what else is in the step does not matter to a token.
 */
import { f32_kv8_attention__simd128 } from './attention';
import { f32_add__simd128, f32_swiglu__simd128 } from './elementwise';
import { qb8w_f32_gather__simd128 } from './embedding';
import { f32_kv8_write__simd128, partBytes } from './kv-write';
import {
  F32_BYTES,
  KV_PARTS_PER_HEAD,
  LAYER_ATTN_NORM,
  LAYER_BYTES,
  LAYER_DOWN_PROJ,
  LAYER_GATE_PROJ,
  LAYER_K_BIAS,
  LAYER_K_PROJ,
  LAYER_MLP_NORM,
  LAYER_O_PROJ,
  LAYER_Q_BIAS,
  LAYER_Q_PROJ,
  LAYER_UP_PROJ,
  LAYER_V_BIAS,
  LAYER_V_PROJ,
  PAGE_TOKENS,
  STAGE_ACTIVATIONS,
  STAGE_EMBEDDING,
  STAGE_FINAL_NORM,
  STAGE_GATE,
  STAGE_HEAD_DIM,
  STAGE_HIDDEN_SIZE,
  STAGE_HIDDEN_STATES,
  STAGE_INDICES,
  STAGE_INTERMEDIATE_SIZE,
  STAGE_KEYS,
  STAGE_LAYERS,
  STAGE_LM_HEAD,
  STAGE_LOGITS,
  STAGE_NORMED,
  STAGE_NUM_KV_HEADS,
  STAGE_NUM_QUERY_HEADS,
  STAGE_PAGES,
  STAGE_PART_POOL_BYTES,
  STAGE_PROJECTED,
  STAGE_QUERIES,
  STAGE_QUERY_SCRATCH,
  STAGE_RMS_NORM_EPS,
  STAGE_ROPE,
  STAGE_SCORES,
  STAGE_SCORES_STRIDE,
  STAGE_SCORE_SCALE,
  STAGE_TOKENS,
  STAGE_UP,
  STAGE_VALUES,
  STAGE_VOCAB_SIZE,
  TOKEN_BYTES,
  TOKEN_PAGE_TABLE,
  TOKEN_POSITION,
} from './layout';
import { qd8_f32_qb4w_gemm__simd128 } from './qd8-f32-qb4w-gemm';
import { qd8_f32_qb8w_gemm__simd128 } from './qd8-f32-qb8w-gemm';
import { f32_qd8_quantise__simd128, quantiseSplitToken__simd128, quantiseToken__simd128 } from './qd8-quantise';
import { f32_rms_norm__simd128 } from './rms-norm';
import { f32_rope__simd128 } from './rope';

const INDEX_BYTES: usize = 4;

/**
 * Runs layers `[layerStart, layerEnd)` of the stage, counted from its own first, on the first `numTokens` rows of its
 * hidden states, in place.
 */
export function forward_layers(stage: usize, numTokens: i32, layerStart: i32, layerEnd: i32): void {
  const hiddenStates = load<usize>(stage, STAGE_HIDDEN_STATES);
  const projected = load<usize>(stage, STAGE_PROJECTED);
  const numHidden = numTokens * load<i32>(stage, STAGE_HIDDEN_SIZE);
  for (let layerIndex = layerStart; layerIndex < layerEnd; layerIndex++) {
    const layer = load<usize>(stage, STAGE_LAYERS) + layerIndex * LAYER_BYTES;
    attend(stage, layer, layerIndex, numTokens);
    f32_add__simd128(hiddenStates, projected, numHidden);
    runMlp(stage, layer, numTokens);
    f32_add__simd128(hiddenStates, projected, numHidden);
  }
}

/** Norm, projections, attention and output projection of one layer; the result is in the stage's `PROJECTED`. */
function attend(stage: usize, layer: usize, layerIndex: i32, numTokens: i32): void {
  const hiddenSize = load<i32>(stage, STAGE_HIDDEN_SIZE);
  const headDim = load<i32>(stage, STAGE_HEAD_DIM);
  const querySize = load<i32>(stage, STAGE_NUM_QUERY_HEADS) * headDim;
  const kvSize = load<i32>(stage, STAGE_NUM_KV_HEADS) * headDim;
  const activations = load<usize>(stage, STAGE_ACTIVATIONS);
  const queries = load<usize>(stage, STAGE_QUERIES);
  const keys = load<usize>(stage, STAGE_KEYS);
  const values = load<usize>(stage, STAGE_VALUES);
  normalise(stage, load<usize>(layer, LAYER_ATTN_NORM), numTokens);
  project(
    stage,
    queries,
    activations,
    load<usize>(layer, LAYER_Q_PROJ),
    load<usize>(layer, LAYER_Q_BIAS),
    numTokens,
    querySize,
    hiddenSize,
  );
  project(
    stage,
    keys,
    activations,
    load<usize>(layer, LAYER_K_PROJ),
    load<usize>(layer, LAYER_K_BIAS),
    numTokens,
    kvSize,
    hiddenSize,
  );
  project(
    stage,
    values,
    activations,
    load<usize>(layer, LAYER_V_PROJ),
    load<usize>(layer, LAYER_V_BIAS),
    numTokens,
    kvSize,
    hiddenSize,
  );
  // Every key and value of the step is in its page before any query looks: a prompt's tokens attend to each other.
  for (let token = 0; token < numTokens; token++) writeKv(stage, layerIndex, token);
  for (let token = 0; token < numTokens; token++) attendToken(stage, layerIndex, token);
  f32_qd8_quantise__simd128(activations, queries, numTokens, querySize);
  const oProj = load<usize>(layer, LAYER_O_PROJ);
  multiply(stage, load<usize>(stage, STAGE_PROJECTED), activations, oProj, numTokens, hiddenSize, querySize);
}

/** Norm, gate, up and down projection of one layer; the result is in the stage's `PROJECTED`. */
function runMlp(stage: usize, layer: usize, numTokens: i32): void {
  const hiddenSize = load<i32>(stage, STAGE_HIDDEN_SIZE);
  const size = load<i32>(stage, STAGE_INTERMEDIATE_SIZE);
  const activations = load<usize>(stage, STAGE_ACTIVATIONS);
  const gate = load<usize>(stage, STAGE_GATE);
  const up = load<usize>(stage, STAGE_UP);
  normalise(stage, load<usize>(layer, LAYER_MLP_NORM), numTokens);
  multiply(stage, gate, activations, load<usize>(layer, LAYER_GATE_PROJ), numTokens, size, hiddenSize);
  multiply(stage, up, activations, load<usize>(layer, LAYER_UP_PROJ), numTokens, size, hiddenSize);
  f32_swiglu__simd128(gate, up, numTokens * size);
  f32_qd8_quantise__simd128(activations, gate, numTokens, size);
  const downProj = load<usize>(layer, LAYER_DOWN_PROJ);
  multiply(stage, load<usize>(stage, STAGE_PROJECTED), activations, downProj, numTokens, hiddenSize, size);
}

/** RMS norm of the hidden states, quantised into the stage's `ACTIVATIONS`. */
function normalise(stage: usize, weight: usize, numTokens: i32): void {
  const hiddenSize = load<i32>(stage, STAGE_HIDDEN_SIZE);
  const eps = load<f32>(stage, STAGE_RMS_NORM_EPS);
  const normed = load<usize>(stage, STAGE_NORMED);
  let row = load<usize>(stage, STAGE_HIDDEN_STATES);
  const activations = load<usize>(stage, STAGE_ACTIVATIONS);
  for (let token = 0; token < numTokens; token++) {
    f32_rms_norm__simd128(normed, row, weight, hiddenSize, eps);
    quantiseToken__simd128(activations, normed, token, numTokens, hiddenSize);
    row += hiddenSize * F32_BYTES;
  }
}

/** A projection. Attention is not under way, so the place of its scores is free for decoded weights. */
function multiply(
  stage: usize,
  output: usize,
  activations: usize,
  weights: usize,
  numTokens: i32,
  rows: i32,
  cols: i32,
): void {
  const decoded = load<usize>(stage, STAGE_SCORES);
  qd8_f32_qb4w_gemm__simd128(output, activations, weights, numTokens, rows, cols, decoded);
}

function project(
  stage: usize,
  output: usize,
  activations: usize,
  weights: usize,
  bias: usize,
  numTokens: i32,
  rows: i32,
  cols: i32,
): void {
  multiply(stage, output, activations, weights, numTokens, rows, cols);
  if (bias == 0) return;
  for (let token = 0; token < numTokens; token++) {
    f32_add__simd128(output, bias, rows);
    output += rows * F32_BYTES;
  }
}

/** Address of the first KV head's keys in page 0, for one layer; its values are `STAGE_PART_POOL_BYTES` further. */
function layerPages(stage: usize, layerIndex: i32): usize {
  const numPartsBefore = layerIndex * load<i32>(stage, STAGE_NUM_KV_HEADS) * KV_PARTS_PER_HEAD;
  return load<usize>(stage, STAGE_PAGES) + numPartsBefore * load<usize>(stage, STAGE_PART_POOL_BYTES);
}

/** Rotates a token's queries and keys, and writes its keys and values into its page. */
function writeKv(stage: usize, layerIndex: i32, token: i32): void {
  const headDim = load<i32>(stage, STAGE_HEAD_DIM);
  const headBytes: usize = headDim * F32_BYTES;
  const numQueryHeads = load<i32>(stage, STAGE_NUM_QUERY_HEADS);
  const numKvHeads = load<i32>(stage, STAGE_NUM_KV_HEADS);
  const rotation = load<usize>(stage, STAGE_ROPE) + token * headBytes;
  let key = load<usize>(stage, STAGE_KEYS) + token * numKvHeads * headBytes;
  let value = load<usize>(stage, STAGE_VALUES) + token * numKvHeads * headBytes;
  const queries = load<usize>(stage, STAGE_QUERIES) + token * numQueryHeads * headBytes;
  f32_rope__simd128(queries, rotation, numQueryHeads, headDim);
  f32_rope__simd128(key, rotation, numKvHeads, headDim);

  const descriptor = load<usize>(stage, STAGE_TOKENS) + token * TOKEN_BYTES;
  const position = load<i32>(descriptor, TOKEN_POSITION);
  const entry = load<usize>(descriptor, TOKEN_PAGE_TABLE) + (position / PAGE_TOKENS) * INDEX_BYTES;
  const partPoolBytes = load<usize>(stage, STAGE_PART_POOL_BYTES);
  let page = layerPages(stage, layerIndex) + load<u32>(entry) * partBytes(headDim);
  for (let head = 0; head < numKvHeads; head++) {
    f32_kv8_write__simd128(page, page + partPoolBytes, position % PAGE_TOKENS, key, value, headDim);
    page += KV_PARTS_PER_HEAD * partPoolBytes;
    key += headBytes;
    value += headBytes;
  }
}

function attendToken(stage: usize, layerIndex: i32, token: i32): void {
  const headDim = load<i32>(stage, STAGE_HEAD_DIM);
  const numQueryHeads = load<i32>(stage, STAGE_NUM_QUERY_HEADS);
  const numKvHeads = load<i32>(stage, STAGE_NUM_KV_HEADS);
  const numHeads = numQueryHeads / numKvHeads;
  const descriptor = load<usize>(stage, STAGE_TOKENS) + token * TOKEN_BYTES;
  let heads = load<usize>(stage, STAGE_QUERIES) + token * numQueryHeads * headDim * F32_BYTES;
  const partPoolBytes = load<usize>(stage, STAGE_PART_POOL_BYTES);
  let keyPages = layerPages(stage, layerIndex);
  for (let kvHead = 0; kvHead < numKvHeads; kvHead++) {
    f32_kv8_attention__simd128(
      heads,
      numHeads,
      headDim,
      keyPages,
      keyPages + partPoolBytes,
      load<usize>(descriptor, TOKEN_PAGE_TABLE),
      load<i32>(descriptor, TOKEN_POSITION) + 1,
      load<f32>(stage, STAGE_SCORE_SCALE),
      load<usize>(stage, STAGE_QUERY_SCRATCH),
      load<usize>(stage, STAGE_SCORES),
      load<i32>(stage, STAGE_SCORES_STRIDE),
    );
    heads += numHeads * headDim * F32_BYTES;
    keyPages += KV_PARTS_PER_HEAD * partPoolBytes;
  }
}

/** Writes the embeddings of the first `numTokens` token ids of `INDICES` into the hidden states. */
export function embed_tokens(stage: usize, numTokens: i32): void {
  const hiddenSize = load<i32>(stage, STAGE_HIDDEN_SIZE);
  const embedding = load<usize>(stage, STAGE_EMBEDDING);
  const indices = load<usize>(stage, STAGE_INDICES);
  let row = load<usize>(stage, STAGE_HIDDEN_STATES);
  for (let token = 0; token < numTokens; token++) {
    qb8w_f32_gather__simd128(row, embedding, load<i32>(indices + token * INDEX_BYTES), hiddenSize);
    row += hiddenSize * F32_BYTES;
  }
}

/** Final norm and LM head of the rows of the hidden states that the first `numRows` entries of `INDICES` name. */
export function compute_logits(stage: usize, numRows: i32): void {
  const hiddenSize = load<i32>(stage, STAGE_HIDDEN_SIZE);
  const eps = load<f32>(stage, STAGE_RMS_NORM_EPS);
  const normed = load<usize>(stage, STAGE_NORMED);
  const weight = load<usize>(stage, STAGE_FINAL_NORM);
  const hiddenStates = load<usize>(stage, STAGE_HIDDEN_STATES);
  const indices = load<usize>(stage, STAGE_INDICES);
  const activations = load<usize>(stage, STAGE_ACTIVATIONS);
  for (let index = 0; index < numRows; index++) {
    const row = load<i32>(indices + index * INDEX_BYTES);
    f32_rms_norm__simd128(normed, hiddenStates + row * hiddenSize * F32_BYTES, weight, hiddenSize, eps);
    quantiseSplitToken__simd128(activations, normed, index, numRows, hiddenSize);
  }
  const vocabSize = load<i32>(stage, STAGE_VOCAB_SIZE);
  const lmHead = load<usize>(stage, STAGE_LM_HEAD);
  qd8_f32_qb8w_gemm__simd128(load<usize>(stage, STAGE_LOGITS), activations, lmHead, numRows, vocabSize, hiddenSize);
}
