/** Writes what `forward_layers` needs to know about a stage: shapes, limits and addresses. Once, at creation. */
import * as layout from '../assembly/layout.ts';
import { pagePartBytes } from './arena.ts';
import type { ArenaLayout, Region } from './arena.ts';
import { assert } from './assert.ts';
import { PAGE_SIZE_TOKENS, stageShape } from './stage-options.ts';
import type { StageRuntimeOptions } from './stage-options.ts';

/** Fields of a layer's descriptor and the tensors whose addresses they hold. */
const LAYER_FIELDS: readonly (readonly [offset: number, tensor: string])[] = [
  [layout.LAYER_ATTN_NORM, 'attnNorm'],
  [layout.LAYER_Q_PROJ, 'qProj'],
  [layout.LAYER_K_PROJ, 'kProj'],
  [layout.LAYER_V_PROJ, 'vProj'],
  [layout.LAYER_Q_BIAS, 'qBias'],
  [layout.LAYER_K_BIAS, 'kBias'],
  [layout.LAYER_V_BIAS, 'vBias'],
  [layout.LAYER_O_PROJ, 'oProj'],
  [layout.LAYER_MLP_NORM, 'mlpNorm'],
  [layout.LAYER_GATE_PROJ, 'gateProj'],
  [layout.LAYER_UP_PROJ, 'upProj'],
  [layout.LAYER_DOWN_PROJ, 'downProj'],
];

export function writeStageDescriptor(
  memory: WebAssembly.Memory,
  arena: ArenaLayout,
  options: StageRuntimeOptions,
): void {
  const stage = regionView(memory, arena.scratch.stage);
  for (const [offset, value] of shapeFields(options)) {
    stage.setInt32(offset, value, true);
  }
  stage.setFloat32(layout.STAGE_RMS_NORM_EPS, options.config.rmsNormEps, true);
  stage.setFloat32(layout.STAGE_SCORE_SCALE, 1 / Math.sqrt(options.config.headDim), true);
  for (const [offset, address] of addressFields(arena, options)) {
    stage.setUint32(offset, address, true);
  }
  writeLayers(memory, arena, options);
}

function shapeFields(options: StageRuntimeOptions): [offset: number, value: number][] {
  const { config } = options;
  const { pagesPerSequenceMax } = stageShape(options);
  return [
    [layout.STAGE_HIDDEN_SIZE, config.hiddenSize],
    [layout.STAGE_INTERMEDIATE_SIZE, config.intermediateSize],
    [layout.STAGE_NUM_QUERY_HEADS, config.numQueryHeads],
    [layout.STAGE_NUM_KV_HEADS, config.numKvHeads],
    [layout.STAGE_HEAD_DIM, config.headDim],
    [layout.STAGE_VOCAB_SIZE, config.vocabSize],
    [layout.STAGE_SCORES_STRIDE, pagesPerSequenceMax * PAGE_SIZE_TOKENS],
    [layout.STAGE_PART_POOL_BYTES, options.numPages * pagePartBytes(config.headDim)],
  ];
}

function addressFields(arena: ArenaLayout, options: StageRuntimeOptions): [offset: number, address: number][] {
  const { scratch, pages } = arena;
  const fields: [number, Region][] = [
    [layout.STAGE_LAYERS, scratch.layers],
    [layout.STAGE_TOKENS, scratch.tokens],
    [layout.STAGE_ROPE, scratch.rope],
    [layout.STAGE_PAGES, pages],
    [layout.STAGE_HIDDEN_STATES, scratch.hiddenStates],
    [layout.STAGE_NORMED, scratch.normed],
    [layout.STAGE_ACTIVATIONS, scratch.activations],
    [layout.STAGE_QUERIES, scratch.queries],
    [layout.STAGE_KEYS, scratch.keys],
    [layout.STAGE_VALUES, scratch.values],
    [layout.STAGE_GATE, scratch.gate],
    [layout.STAGE_UP, scratch.up],
    [layout.STAGE_PROJECTED, scratch.projected],
    [layout.STAGE_QUERY_SCRATCH, scratch.queryScratch],
    [layout.STAGE_SCORES, scratch.scores],
    [layout.STAGE_INDICES, scratch.indices],
    [layout.STAGE_LOGITS, scratch.logits],
  ];
  if (options.isHead) {
    fields.push([layout.STAGE_EMBEDDING, tensorRegion(arena, 'embedding')]);
    fields.push([layout.STAGE_FINAL_NORM, tensorRegion(arena, 'finalNorm')]);
    fields.push([layout.STAGE_LM_HEAD, tensorRegion(arena, options.config.tiedEmbedding ? 'embedding' : 'lmHead')]);
  }
  return fields.map(([offset, region]) => [offset, region.address]);
}

function writeLayers(memory: WebAssembly.Memory, arena: ArenaLayout, options: StageRuntimeOptions): void {
  const layers = regionView(memory, arena.scratch.layers);
  for (let layerIndex = options.layerStart; layerIndex < options.layerEnd; layerIndex++) {
    const base = (layerIndex - options.layerStart) * layout.LAYER_BYTES;
    for (const [offset, tensor] of LAYER_FIELDS) {
      // Only the biases can be missing; the kernels take address 0 for none.
      const isMissing = tensor.endsWith('Bias') && !options.config.attentionBias;
      const address = isMissing ? 0 : tensorRegion(arena, `layers.${layerIndex}.${tensor}`).address;
      layers.setUint32(base + offset, address, true);
    }
  }
}

function tensorRegion(arena: ArenaLayout, name: string): Region {
  const region = arena.tensors.get(name);
  assert(region !== undefined, `the stage has no tensor ${name}`);
  return region;
}

function regionView(memory: WebAssembly.Memory, region: Region): DataView {
  return new DataView(memory.buffer, region.address, region.bytes);
}
