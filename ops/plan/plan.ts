/**
 * The planner: which layers run where, and how much of each isolate they take. It looks for the fewest stages in which
 * every isolate stays inside its budget while the KV cache holds the asked number of tokens, and among the splits into
 * that many stages for the one whose slowest stage is fastest.
 */
import { NUM_FEATURE_PAGES, type StageAssignment } from '../../shards/model/assignment.ts';
import type { ModelConfig } from '../../wasm/host/model-config.ts';
import { type ArenaPlan, PAGE_SIZE_TOKENS, type StageRuntimeOptions } from '../../wasm/host/stage-runtime.ts';
import { formatCount, formatMib } from '../support/format.ts';
import { OperatorError } from '../support/operator-error.ts';
import { type TokenTime, tokenTime } from './cost.ts';
import {
  FULL_SEQUENCES_MAX,
  ISOLATE_BUDGET_BYTES,
  NUM_LOGIT_ROWS_MAX,
  NUM_TOKENS_MAX,
  STAGE_COUNT_MAX,
  STAGE_HEAP_BYTES,
} from './limits.ts';
import { type ClassifyPlan, type GatewayPlan, planClassify, planGateway } from './plan-services.ts';

export type PlanArena = (options: StageRuntimeOptions) => ArenaPlan;

export interface PlanRequest {
  readonly model: string;
  readonly config: ModelConfig;
  /** Size of the model's `tokenizer.json`, which decides how large the gateway's tables become. */
  readonly tokenizerBytes: number;
  /** Longest sequence to serve, in tokens; the model's own context by default. */
  readonly contextLength?: number;
  /** Tokens of KV that must fit; one sequence of the full context by default. */
  readonly kvTokens?: number;
  /** Exactly this many stages, instead of the fewest that fit. */
  readonly stageCount?: number;
  /** Layers that the head should have, where its memory allows: features of texts come from it alone. Default 1. */
  readonly headLayersMin?: number;
  readonly budgetBytes?: number;
  readonly stageHeapBytes?: number;
  readonly numTokensMax?: number;
  readonly numLogitRowsMax?: number;
}

export interface StagePlan {
  readonly stageIndex: number;
  readonly layerStart: number;
  readonly layerEnd: number;
  readonly arena: ArenaPlan;
  readonly heapBytes: number;
  /** Arena and heap. At most the budget. */
  readonly totalBytes: number;
  /** Share of the time of one token, 0 to 1. */
  readonly timeShare: number;
  /** KV pages that this stage alone would have room for. The ring uses the smallest of them. */
  readonly numPagesMax: number;
}

export interface Plan {
  readonly model: string;
  readonly contextLength: number;
  readonly numTokensMax: number;
  readonly numLogitRowsMax: number;
  readonly budgetBytes: number;
  readonly numPages: number;
  /** Tokens of KV that fit: `numPages` pages. */
  readonly kvTokens: number;
  readonly stages: readonly StagePlan[];
  readonly gateway: GatewayPlan;
  readonly classify: ClassifyPlan;
}

/** A request with every default filled in. */
interface Terms extends Required<Omit<PlanRequest, 'stageCount'>> {
  readonly numPagesWanted: number;
}

function fillDefaults(request: PlanRequest): Terms {
  const contextLength = request.contextLength ?? request.config.contextLengthMax;
  const kvTokens = request.kvTokens ?? contextLength;
  return {
    ...request,
    contextLength,
    kvTokens,
    headLayersMin: request.headLayersMin ?? 1,
    budgetBytes: request.budgetBytes ?? ISOLATE_BUDGET_BYTES,
    stageHeapBytes: request.stageHeapBytes ?? STAGE_HEAP_BYTES,
    numTokensMax: request.numTokensMax ?? NUM_TOKENS_MAX,
    numLogitRowsMax: request.numLogitRowsMax ?? NUM_LOGIT_ROWS_MAX,
    numPagesWanted: Math.ceil(kvTokens / PAGE_SIZE_TOKENS),
  };
}

function checkRequest(terms: Terms, stageCount: number | undefined): void {
  const { config } = terms;
  if (terms.contextLength > config.contextLengthMax) {
    throw new OperatorError(
      'usage',
      `A context of ${terms.contextLength} tokens was asked for; ${terms.model} was trained for ${config.contextLengthMax}.`,
      `Use --context ${config.contextLengthMax} or less.`,
    );
  }
  if (terms.kvTokens < terms.contextLength) {
    throw new OperatorError(
      'usage',
      `${terms.kvTokens} tokens of KV cannot hold one sequence of ${terms.contextLength} tokens.`,
      'Raise --kv-tokens or lower --context.',
    );
  }
  const stageCountMax = Math.min(STAGE_COUNT_MAX, config.numLayers);
  if (stageCount !== undefined && (stageCount < 1 || stageCount > stageCountMax)) {
    throw new OperatorError(
      'usage',
      `${terms.model} cannot be split into ${stageCount} stages.`,
      `It has ${config.numLayers} layers, and a ring has at most ${STAGE_COUNT_MAX} stages: use 1 to ${stageCountMax}.`,
    );
  }
}

/** Bytes of the isolate of a stage with these layers and pages. Equal layers: only their number matters. */
function stageBytes(terms: Terms, planArena: PlanArena, range: LayerRange, numPages: number): ArenaPlan {
  return planArena({
    config: terms.config,
    ...range,
    isHead: range.layerStart === 0,
    numPages: range.layerStart === 0 ? numPages + NUM_FEATURE_PAGES : numPages,
    numTokensMax: terms.numTokensMax,
    contextLengthMax: terms.contextLength,
    numLogitRowsMax: terms.numLogitRowsMax,
  });
}

interface LayerRange {
  readonly layerStart: number;
  readonly layerEnd: number;
}

function stageFits(terms: Terms, planArena: PlanArena, range: LayerRange, numPages: number): boolean {
  return stageBytes(terms, planArena, range, numPages).totalBytes + terms.stageHeapBytes <= terms.budgetBytes;
}

/** Most pages, from the wanted number up to `limit`, with which a stage that fits stays inside the budget. */
function pagesThatFit(terms: Terms, planArena: PlanArena, range: LayerRange, limit: number): number {
  let low = terms.numPagesWanted;
  let high = limit;
  while (low < high) {
    const middle = Math.ceil((low + high) / 2);
    if (stageFits(terms, planArena, range, middle)) {
      low = middle;
    } else {
      high = middle - 1;
    }
  }
  return low;
}

/** Most layers that one stage can hold with the wanted pages; 0 when not even one fits. */
function layersThatFit(terms: Terms, planArena: PlanArena, isHead: boolean): number {
  const layerStart = isHead ? 0 : 1;
  let layerEnd = layerStart;
  while (
    layerEnd < terms.config.numLayers &&
    stageFits(terms, planArena, { layerStart, layerEnd: layerEnd + 1 }, terms.numPagesWanted)
  ) {
    layerEnd += 1;
  }
  return layerEnd - layerStart;
}

/**
 * Numbers of layers per stage whose slowest stage is fastest. Layers are alike, so giving each next layer to the stage
 * that would finish it first is optimal: exchanging any two layers between stages cannot lower the maximum. The head
 * has its minimum before that.
 * Null when the stages together cannot hold all layers.
 */
function balance(
  numLayers: number,
  stageCount: number,
  { layerUs, headUs }: TokenTime,
  capacity: { readonly head: number; readonly other: number },
  headLayersMin: number,
): number[] | null {
  const headLayersMax = Math.max(1, Math.min(capacity.head, numLayers - stageCount + 1));
  const layersOf = Array.from({ length: stageCount }, (_, index) =>
    index === 0 ? Math.min(headLayersMin, headLayersMax) : 1,
  );
  const capacityOf = layersOf.map((_, index) => (index === 0 ? capacity.head : capacity.other));
  const isTooSmall = capacityOf.some((layers) => layers < 1);
  if (isTooSmall || capacityOf.reduce((sum, layers) => sum + layers, 0) < numLayers) {
    return null;
  }
  const timeWithOneMore = (index: number): number =>
    ((layersOf[index] ?? 0) + 1) * layerUs + (index === 0 ? headUs : 0);
  for (let placed = stageCount - 1 + (layersOf[0] ?? 1); placed < numLayers; placed += 1) {
    const open = layersOf.map((_, index) => index).filter((index) => (layersOf[index] ?? 0) < (capacityOf[index] ?? 0));
    const best = open.reduce((a, b) => (timeWithOneMore(b) < timeWithOneMore(a) ? b : a));
    layersOf[best] = (layersOf[best] ?? 0) + 1;
  }
  return layersOf;
}

function describeStages(terms: Terms, planArena: PlanArena, layersOf: readonly number[]): Plan {
  const { layerUs, headUs } = tokenTime(terms.config, terms.contextLength);
  const totalUs = layerUs * terms.config.numLayers + headUs;
  const pagesLimit = Math.max(
    terms.numPagesWanted,
    FULL_SEQUENCES_MAX * Math.ceil(terms.contextLength / PAGE_SIZE_TOKENS),
  );
  let layerStart = 0;
  const ranges = layersOf.map((numLayers) => {
    const range = { layerStart, layerEnd: layerStart + numLayers };
    layerStart = range.layerEnd;
    return range;
  });
  const pagesOf = ranges.map((range) => pagesThatFit(terms, planArena, range, pagesLimit));
  const numPages = Math.min(...pagesOf);
  const stages = ranges.map((range, stageIndex): StagePlan => {
    const arena = stageBytes(terms, planArena, range, numPages);
    const stageUs = (range.layerEnd - range.layerStart) * layerUs + (stageIndex === 0 ? headUs : 0);
    return {
      stageIndex,
      ...range,
      arena,
      heapBytes: terms.stageHeapBytes,
      totalBytes: arena.totalBytes + terms.stageHeapBytes,
      timeShare: stageUs / totalUs,
      numPagesMax: pagesOf[stageIndex] ?? numPages,
    };
  });
  return {
    model: terms.model,
    contextLength: terms.contextLength,
    numTokensMax: terms.numTokensMax,
    numLogitRowsMax: terms.numLogitRowsMax,
    budgetBytes: terms.budgetBytes,
    numPages,
    kvTokens: numPages * PAGE_SIZE_TOKENS,
    stages,
    gateway: planGateway(terms),
    classify: planClassify(terms),
  };
}

/** The error for a model that fits in no allowed number of stages: which part is too large, and by how much. */
function doesNotFit(terms: Terms, planArena: PlanArena, stageCount: number): OperatorError {
  const oneLayerOf = (layerStart: number): number =>
    stageBytes(terms, planArena, { layerStart, layerEnd: layerStart + 1 }, terms.numPagesWanted).totalBytes +
    terms.stageHeapBytes;
  const headBytes = oneLayerOf(0);
  const layerBytes = terms.config.numLayers > 1 ? oneLayerOf(1) : 0;
  const kv = `${formatCount(terms.kvTokens)} tokens of KV`;
  const budget = `the budget of an isolate is ${formatMib(terms.budgetBytes)}`;
  const reason =
    headBytes > terms.budgetBytes
      ? `the head stage with one layer and ${kv} needs ${formatMib(headBytes)}; ${budget}`
      : layerBytes > terms.budgetBytes
        ? `a stage with one layer and ${kv} needs ${formatMib(layerBytes)}; ${budget}`
        : `the layers and ${kv} need more than ${stageCount} isolates of ${formatMib(terms.budgetBytes)}`;
  return new OperatorError(
    'does_not_fit',
    `${terms.model} does not fit in ${stageCount === 1 ? '1 stage' : `${stageCount} stages`}: ${reason}.`,
    'Serve a shorter context (--context), fewer KV tokens (--kv-tokens), more stages (--stages), or a smaller model.',
  );
}

/**
 * Splits a model into stages. Throws `usage` for limits that contradict each other or the model, and `does_not_fit`,
 * with the numbers, when no allowed number of stages is enough.
 */
export function planStages(request: PlanRequest, planArena: PlanArena): Plan {
  const terms = fillDefaults(request);
  checkRequest(terms, request.stageCount);
  const { numLayers } = terms.config;
  const time = tokenTime(terms.config, terms.contextLength);
  const capacity = {
    head: layersThatFit(terms, planArena, true),
    other: layersThatFit(terms, planArena, false),
  };
  const stageCountMax = Math.min(STAGE_COUNT_MAX, numLayers);
  const first = request.stageCount ?? 1;
  const last = request.stageCount ?? stageCountMax;
  for (let stageCount = first; stageCount <= last; stageCount += 1) {
    const layersOf = balance(numLayers, stageCount, time, capacity, terms.headLayersMin);
    if (layersOf !== null) {
      return describeStages(terms, planArena, layersOf);
    }
  }
  throw doesNotFit(terms, planArena, last);
}

/**
 * The plan of each stage, as its script carries it.
 * @param stepsInFlightMax number of stages that compute side by side, see `StageAssignment`
 */
export function stageAssignments(plan: Plan, manifestSha256: string, stepsInFlightMax: number): StageAssignment[] {
  return plan.stages.map((stage) => ({
    model: plan.model,
    manifestSha256,
    stageIndex: stage.stageIndex,
    stageCount: plan.stages.length,
    layerStart: stage.layerStart,
    layerEnd: stage.layerEnd,
    numPages: plan.numPages,
    contextLengthMax: plan.contextLength,
    numTokensMax: plan.numTokensMax,
    numLogitRowsMax: plan.numLogitRowsMax,
    stepsInFlightMax,
  }));
}
