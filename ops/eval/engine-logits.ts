/**
 * The kernels without the engine around them: a whole converted model in one stage runtime, fed with known tokens. What
 * comes out is what the head of any ring computes, since logits do not depend on how a model is split.
 */
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { parseManifest } from '../../shards/model/parse-manifest.ts';
import { loadWeights } from '../../shards/model/weight-loader.ts';
import { createStageRuntime, PAGE_SIZE_TOKENS, type StageRuntime } from '../../wasm/host/stage-runtime.ts';
import { fileAssets } from '../testing/file-assets.ts';

/** Tokens in one step: enough to reuse each weight often, while the scratch memory stays small. */
const STEP_TOKENS_MAX = 64;
/** 16 rows of 49152 logits are 3 MB. */
const LOGIT_ROWS_MAX = 16;

/**
 * Loads every layer and the head into one runtime with room for one sequence.
 * @param folder of the converted model.
 * @param kernels the compiled `kernels.wasm`.
 * @param windowTokensMax longest sequence that will be fed.
 * @throws WeightLoadError when the folder does not hold what its manifest says.
 */
export async function loadWholeModel(
  folder: string,
  kernels: WebAssembly.Module,
  windowTokensMax: number,
): Promise<StageRuntime> {
  const manifest = parseManifest(JSON.parse(await readFile(path.join(folder, 'manifest.json'), 'utf8')));
  const runtime = createStageRuntime(kernels, {
    config: manifest.config,
    layerStart: 0,
    layerEnd: manifest.config.numLayers,
    isHead: true,
    numPages: Math.ceil(windowTokensMax / PAGE_SIZE_TOKENS),
    numTokensMax: STEP_TOKENS_MAX,
    contextLengthMax: windowTokensMax,
    numLogitRowsMax: LOGIT_ROWS_MAX,
  });
  const { layerStart, layerEnd, isHead } = runtime.options;
  const weightView = runtime.weightView.bind(runtime);
  await loadWeights({ manifest, layerStart, layerEnd, isHead, assets: fileAssets(folder), weightView });
  runtime.weightsReady();
  return runtime;
}

/**
 * Feeds `tokens` from position 0 and gives the logits that follow each of them, in order.
 * @param onRow `logits` is a view `[vocabSize]` that the next step overwrites.
 */
export function forEachLogitRow(
  runtime: StageRuntime,
  tokens: readonly number[],
  onRow: (position: number, logits: Float32Array) => void,
): void {
  const { config, numTokensMax, numLogitRowsMax } = runtime.options;
  const pageTable = wholePageTable(runtime);
  for (let start = 0; start < tokens.length; start += numTokensMax) {
    const chunk = tokens.slice(start, start + numTokensMax);
    runtime.embed(chunk);
    runtime.forward([{ startPosition: start, numTokens: chunk.length, pageTable }]);
    for (let row = 0; row < chunk.length; row += numLogitRowsMax) {
      const numRows = Math.min(numLogitRowsMax, chunk.length - row);
      const logits = runtime.logits(Array.from({ length: numRows }, (_, index) => row + index));
      for (let index = 0; index < numRows; index += 1) {
        onRow(start + row + index, logits.subarray(index * config.vocabSize, (index + 1) * config.vocabSize));
      }
    }
  }
}

/** One sequence has every page, in order. */
function wholePageTable(runtime: StageRuntime): number[] {
  return Array.from({ length: runtime.options.numPages }, (_, page) => page);
}
