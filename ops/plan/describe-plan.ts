/** The plan as a table for people, with the arithmetic behind each column. */
import type { ModelConfig } from '../../wasm/host/model-config.ts';
import { PAGE_SIZE_TOKENS } from '../../wasm/host/stage-runtime.ts';
import { type Column, formatCount, formatMib, formatTable } from '../support/format.ts';
import { attendedTokens, tokenTime } from './cost.ts';
import { HEADROOM_BYTES, ISOLATE_BYTES, OUTPUT_TOKEN_SHARE, TOKENIZER_HEAP_PER_FILE_BYTE } from './limits.ts';
import type { Plan, StagePlan } from './plan.ts';

export interface PlanLine {
  readonly text: string;
  readonly isHeading: boolean;
}

const right = (title: string): Column => ({ title, align: 'right' });
const left = (title: string): Column => ({ title, align: 'left' });

const COLUMNS: readonly Column[] = [
  left('isolate'),
  left('holds'),
  right('weights'),
  right('KV pages'),
  right('scratch'),
  right('JS heap'),
  right('total'),
  right('spare'),
  right('time'),
];

function stageRow(plan: Plan, stage: StagePlan): string[] {
  const layers = `layers ${stage.layerStart}–${stage.layerEnd - 1}`;
  return [
    `stage ${stage.stageIndex}`,
    stage.stageIndex === 0 ? `embedding, ${layers}, LM head` : layers,
    formatMib(stage.arena.weightsBytes),
    formatMib(stage.arena.kvBytes),
    formatMib(stage.arena.scratchBytes),
    formatMib(stage.heapBytes),
    formatMib(stage.totalBytes),
    formatMib(plan.budgetBytes - stage.totalBytes),
    `${(stage.timeShare * 100).toFixed(1)} %`,
  ];
}

/** Rows of the isolates that hold no layers: everything in them counts as heap, or as a training's working memory. */
function serviceRows({ gateway, classify, budgetBytes }: Plan): string[][] {
  const row = (name: string, holds: string, scratchBytes: number, totalBytes: number): string[] => {
    const scratch = scratchBytes === 0 ? '' : formatMib(scratchBytes);
    const heap = formatMib(totalBytes - scratchBytes);
    return [name, holds, '', '', scratch, heap, formatMib(totalBytes), formatMib(budgetBytes - totalBytes), ''];
  };
  return [
    row('gateway', 'tokenizer tables, classifiers', 0, gateway.totalBytes),
    row('classify', 'tokenizer tables, a training', classify.trainingBytesMax, classify.totalBytes),
  ];
}

/** How the numbers of the table come about. */
function arithmetic(plan: Plan, config: ModelConfig): string[] {
  const { layerUs, headUs } = tokenTime(config, plan.contextLength);
  const totalUs = headUs + layerUs * config.numLayers;
  const pageBytes = plan.stages.map((stage) => stage.arena.pageBytes);
  const ringPageBytes = pageBytes.reduce((sum, bytes) => sum + bytes, 0);
  const headShare = ((headUs / totalUs) * 100).toFixed(1);
  return [
    `budget     ${formatMib(ISOLATE_BYTES)} of an isolate − ${formatMib(HEADROOM_BYTES)} headroom = ${formatMib(plan.budgetBytes)}`,
    `KV page    ${PAGE_SIZE_TOKENS} tokens; ${pageBytes.map(formatCount).join(' + ')} = ${formatCount(ringPageBytes)} bytes over the ring ` +
      `(${formatCount(Math.round(ringPageBytes / PAGE_SIZE_TOKENS))} a token)`,
    `KV tokens  ${formatCount(plan.numPages)} pages × ${PAGE_SIZE_TOKENS} = ${formatCount(plan.kvTokens)} ` +
      `(one sequence has at most ${formatCount(plan.contextLength)})`,
    `time       ${config.numLayers} layers × ${layerUs.toFixed(1)} µs + LM head ${headUs.toFixed(1)} µs (${headShare} %) ` +
      `a token, attending to ${formatCount(attendedTokens(plan.contextLength))} tokens, logits of ${OUTPUT_TOKEN_SHARE * 100} %`,
    `scratch    steps of at most ${plan.numTokensMax} tokens and ${plan.numLogitRowsMax} rows of logits`,
    ...serviceArithmetic(plan),
  ];
}

function serviceArithmetic({ gateway, classify }: Plan): string[] {
  const { largest } = classify;
  const tables = (bytes: number): string => `tokenizer.json × ${TOKENIZER_HEAP_PER_FILE_BYTE} ${formatMib(bytes)}`;
  return [
    `gateway    heap ${formatMib(gateway.heapBytes)} + ${tables(gateway.tokenizerBytes)} + models of classifiers ` +
      `${formatMib(gateway.modelCacheBytes)} = ${formatMib(gateway.totalBytes)}`,
    `classify   heap ${formatMib(classify.heapBytes)} + ${tables(classify.tokenizerBytes)} + a training of at most ` +
      `${classify.labelsMax} labels ${formatMib(classify.trainingBytesMax)} = ${formatMib(classify.totalBytes)}`,
    `training   at ${largest.numLabels} labels: weights and gradient ${formatMib(largest.workspaceBytes)} + L-BFGS ` +
      `${formatMib(largest.searchBytes)} + logits ${formatMib(largest.logitsBytes)}, the rest holds features`,
  ];
}

/** What all isolates of the platform hold: each replica is a ring of its own, beside one gateway and one for classifiers. */
function replicasLine(plan: Plan, numReplicas: number): string {
  const ringBytes = plan.stages.reduce((sum, stage) => sum + stage.totalBytes, 0);
  const numIsolates = numReplicas * plan.stages.length + 2;
  const totalBytes = numReplicas * ringBytes + plan.gateway.totalBytes + plan.classify.totalBytes;
  return (
    `replicas   ${numReplicas} × ${formatMib(ringBytes)} + gateway + classify = ${formatMib(totalBytes)} in ${numIsolates} isolates, ` +
    `${formatCount(numReplicas * plan.kvTokens)} KV tokens`
  );
}

export function describePlan(plan: Plan, config: ModelConfig, numReplicas: number): PlanLine[] {
  const stages = plan.stages.length === 1 ? '1 stage' : `${plan.stages.length} stages`;
  const table = formatTable(COLUMNS, [...plan.stages.map((stage) => stageRow(plan, stage)), ...serviceRows(plan)]);
  const plain = (text: string): PlanLine => ({ text, isHeading: false });
  const [header = '', ...rows] = table;
  return [
    { text: `${plan.model} in ${stages}`, isHeading: true },
    plain(''),
    { text: header, isHeading: true },
    ...rows.map(plain),
    plain(''),
    ...[...arithmetic(plan, config), replicasLine(plan, numReplicas)].map(plain),
  ];
}
