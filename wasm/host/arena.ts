/**
 * Where everything lies in a stage's memory. Planned once, by arithmetic alone, so that the planner can ask for the size
 * of a stage without making one; after that no address changes and nothing is allocated.
 */
import {
  ARENA_BASE,
  DECODED_RECORD_BYTES,
  F32_BYTES,
  GROUP_COLS,
  KEY_BIAS_BYTES,
  KV_PARTS_PER_HEAD,
  KV_PART_BYTES_PER_DIM,
  KV_PART_SCALES_BYTES,
  LAYER_BYTES,
  QD8_GROUP_BYTES,
  QD8_SPLIT_GROUP_BYTES,
  QUERY_BYTES_PER_DIM,
  QUERY_STATE_BYTES,
  STAGE_BYTES,
  TOKEN_BYTES,
} from '../assembly/layout.ts';
import { assert } from './assert.ts';
import { headTensors, layerTensors } from './model-config.ts';
import type { TensorSpec } from './model-config.ts';
import { packedBytes } from './pack.ts';
import { PAGE_SIZE_TOKENS, stageShape } from './stage-options.ts';
import type { StageRuntimeOptions } from './stage-options.ts';

export const WASM_PAGE_BYTES = 65_536;
/** Kernels compute addresses in signed 32-bit arithmetic. Far above what an isolate may hold. */
const ARENA_BYTES_MAX = 2 ** 31 - WASM_PAGE_BYTES;
/** A cache line: vectors of one tensor never straddle one that another tensor begins in. */
const ALIGNMENT_BYTES = 64;
const INDEX_BYTES = 4;

/** Bytes of WASM memory by purpose. */
export interface ArenaPlan {
  readonly weightsBytes: number;
  readonly kvBytes: number;
  readonly pageBytes: number;
  readonly scratchBytes: number;
  /** The whole memory: the parts above, static data, and padding to 64 KiB. */
  readonly totalBytes: number;
}

/** A part of the memory, in bytes. */
export interface Region {
  readonly address: number;
  readonly bytes: number;
}

const SCRATCH_NAMES = [
  'stage',
  'layers',
  'tokens',
  'rope',
  'pageTables',
  'indices',
  'hiddenStates',
  'normed',
  'activations',
  'queries',
  'keys',
  'values',
  'gate',
  'up',
  'projected',
  'queryScratch',
  'scores',
  'logits',
] as const;
export type ScratchName = (typeof SCRATCH_NAMES)[number];

export interface ArenaLayout {
  readonly plan: ArenaPlan;
  /** By tensor name. */
  readonly tensors: ReadonlyMap<string, Region>;
  readonly pages: Region;
  readonly scratch: Readonly<Record<ScratchName, Region>>;
}

/** Tensors that the stage holds, in the order in which they lie in memory. */
export function stageTensors(options: StageRuntimeOptions): TensorSpec[] {
  const { config, layerStart, layerEnd, isHead } = options;
  const layers = Array.from({ length: layerEnd - layerStart }, (_, index) => layerTensors(config, layerStart + index));
  return [...(isHead ? headTensors(config) : []), ...layers.flat()];
}

/** Bytes of one KV page: all layers of the stage, `PAGE_SIZE_TOKENS` tokens. */
export function pageBytes(options: StageRuntimeOptions): number {
  const { headDim, numKvHeads } = options.config;
  return (options.layerEnd - options.layerStart) * numKvHeads * KV_PARTS_PER_HEAD * pagePartBytes(headDim);
}

/** Bytes of a part of a page: the keys, or the values, of one head of one layer. */
export function pagePartBytes(headDim: number): number {
  return headDim * KV_PART_BYTES_PER_DIM + KV_PART_SCALES_BYTES;
}

/** Bytes of an attention kernel's `queries`, for the query heads of one KV head. */
export function attentionScratchBytes(numHeads: number, headDim: number): number {
  return numHeads * (headDim * QUERY_BYTES_PER_DIM + QUERY_STATE_BYTES) + KEY_BIAS_BYTES;
}

/** Bytes of a matrix product's scratch, for weights of `cols` columns. */
export function decodedTileBytes(cols: number): number {
  return (cols / GROUP_COLS) * DECODED_RECORD_BYTES;
}

/** Assigns addresses. @throws AssertionError when the options cannot be served or exceed 32-bit memory. */
export function layoutArena(options: StageRuntimeOptions): ArenaLayout {
  const allocator = new Allocator(ARENA_BASE);
  const scratchSizes = scratchBytes(options);
  const scratch = {} as Record<ScratchName, Region>;
  for (const name of SCRATCH_NAMES) {
    scratch[name] = allocator.take(scratchSizes[name]);
  }
  const scratchEnd = allocator.end;
  const tensors = new Map<string, Region>();
  for (const { name, format, shape } of stageTensors(options)) {
    tensors.set(name, allocator.take(packedBytes(format, shape)));
  }
  const weightsEnd = allocator.end;
  const pages = allocator.take(options.numPages * pageBytes(options));
  const totalBytes = roundUp(allocator.end, WASM_PAGE_BYTES);
  assert(totalBytes <= ARENA_BYTES_MAX, `the arena needs ${totalBytes} bytes, more than ${ARENA_BYTES_MAX}`);
  const plan = {
    weightsBytes: weightsEnd - scratchEnd,
    kvBytes: allocator.end - weightsEnd,
    pageBytes: pageBytes(options),
    scratchBytes: scratchEnd - ARENA_BASE,
    totalBytes,
  };
  return { plan, tensors, pages, scratch };
}

function scratchBytes(options: StageRuntimeOptions): Record<ScratchName, number> {
  const { config, isHead, numTokensMax } = options;
  const { hiddenSize, intermediateSize, headDim } = config;
  const shape = stageShape(options);
  const perToken = (size: number): number => numTokensMax * size * F32_BYTES;
  const numLogitRowsMax = isHead ? options.numLogitRowsMax : 0;
  const projectionInputMax = Math.max(hiddenSize, shape.querySize, intermediateSize);
  const scoresMax = shape.queryHeadsPerKvHead * shape.pagesPerSequenceMax * PAGE_SIZE_TOKENS;
  return {
    stage: STAGE_BYTES,
    layers: shape.numLayers * LAYER_BYTES,
    tokens: numTokensMax * TOKEN_BYTES,
    rope: perToken(headDim),
    // A step holds at most as many sequences as tokens.
    pageTables: numTokensMax * shape.pagesPerSequenceMax * INDEX_BYTES,
    indices: Math.max(numTokensMax, numLogitRowsMax) * INDEX_BYTES,
    hiddenStates: perToken(hiddenSize),
    normed: hiddenSize * F32_BYTES,
    activations: Math.max(
      numTokensMax * (projectionInputMax / GROUP_COLS) * QD8_GROUP_BYTES,
      numLogitRowsMax * (hiddenSize / GROUP_COLS) * QD8_SPLIT_GROUP_BYTES,
    ),
    queries: perToken(shape.querySize),
    keys: perToken(shape.kvSize),
    values: perToken(shape.kvSize),
    gate: perToken(intermediateSize),
    up: perToken(intermediateSize),
    projected: perToken(hiddenSize),
    queryScratch: attentionScratchBytes(shape.queryHeadsPerKvHead, headDim),
    // Projections decode weights there, one tile of rows at a time.
    scores: Math.max(scoresMax * F32_BYTES, decodedTileBytes(projectionInputMax)),
    logits: numLogitRowsMax * config.vocabSize * F32_BYTES,
  };
}

function roundUp(value: number, multiple: number): number {
  return Math.ceil(value / multiple) * multiple;
}

class Allocator {
  #end: number;

  constructor(start: number) {
    assert(start % ALIGNMENT_BYTES === 0, `${start} is not aligned`);
    this.#end = start;
  }

  get end(): number {
    return this.#end;
  }

  take(bytes: number): Region {
    const address = this.#end;
    this.#end += roundUp(bytes, ALIGNMENT_BYTES);
    return { address, bytes };
  }
}
