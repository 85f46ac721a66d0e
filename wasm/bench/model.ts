/** Tokens per second of a whole model in one stage: SmolLM2-135M's shape, random weights. */
import { stageTensors } from '../host/arena.ts';
import type { ModelConfig } from '../host/model-config.ts';
import { createStageRuntime, PAGE_SIZE_TOKENS } from '../host/stage-runtime.ts';
import type { StageRuntime } from '../host/stage-runtime.ts';
import { randomTensors } from '../test/random-model.ts';
import { secondsPerCall } from './measure.ts';

const CONFIG: ModelConfig = {
  hiddenSize: 576,
  intermediateSize: 1536,
  numLayers: 30,
  numQueryHeads: 9,
  numKvHeads: 3,
  headDim: 64,
  vocabSize: 49_152,
  rmsNormEps: 1e-5,
  ropeTheta: 100_000,
  contextLengthMax: 8192,
  attentionBias: false,
  tiedEmbedding: true,
};
const SEED = 1;
/** Rows of the embedding that are made at random; the rest repeats them. */
const NUM_RANDOM_ROWS = 256;
const CONTEXT_LENGTH_MAX = 2048;
const NUM_TOKENS_MAX = 64;
/** What one sequence has before the step, and tokens in the step. */
const STEPS = [
  { name: 'decode at context 128', context: 128, numTokens: 1 },
  { name: 'decode at context 1024', context: 1024, numTokens: 1 },
  { name: 'prefill, 64 tokens at context 0', context: 0, numTokens: 64 },
  { name: 'prefill, 64 tokens at context 1024', context: 1024, numTokens: 64 },
];
const BATCHES = [2, 4, 8];

export function benchModel(module: WebAssembly.Module): void {
  const pagesPerSequence = CONTEXT_LENGTH_MAX / PAGE_SIZE_TOKENS;
  const runtime = createStageRuntime(module, {
    config: CONFIG,
    layerStart: 0,
    layerEnd: CONFIG.numLayers,
    isHead: true,
    numPages: pagesPerSequence,
    numTokensMax: NUM_TOKENS_MAX,
    contextLengthMax: CONTEXT_LENGTH_MAX,
    numLogitRowsMax: Math.max(...BATCHES),
  });
  fillWeights(runtime);
  console.log(`model of ${(runtime.arena.weightsBytes / 2 ** 20).toFixed(1)} MiB of weights`, runtime.arena);
  const pageTable = Array.from({ length: pagesPerSequence }, (_, page) => page);
  for (const { name, context, numTokens } of STEPS) {
    const tokens = Array.from({ length: numTokens }, (_, index) => (index * 7919) % CONFIG.vocabSize);
    const forward = secondsPerCall(() => {
      runtime.embed(tokens);
      runtime.forward([{ startPosition: context, numTokens, pageTable }]);
    });
    const logits = secondsPerCall(() => runtime.logits([numTokens - 1]));
    reportStep(name, numTokens, forward, logits);
  }
  for (const batch of BATCHES) {
    const pagesEach = Math.floor(pagesPerSequence / batch);
    const sequences = Array.from({ length: batch }, (_, index) => ({
      startPosition: 128,
      numTokens: 1,
      pageTable: pageTable.slice(index * pagesEach, (index + 1) * pagesEach),
    }));
    const rows = sequences.map((_, index) => index);
    const forward = secondsPerCall(() => {
      runtime.embed(rows);
      runtime.forward(sequences);
    });
    reportStep(
      `decode of ${batch} sequences at context 128`,
      batch,
      forward,
      secondsPerCall(() => runtime.logits(rows)),
    );
  }
}

function reportStep(name: string, numTokens: number, forwardSeconds: number, logitsSeconds: number): void {
  const milliseconds = [forwardSeconds, logitsSeconds].map((seconds) => (seconds * 1000).toFixed(2));
  const rate = numTokens / (forwardSeconds + logitsSeconds);
  console.log(`${name.padEnd(40)} ${milliseconds[0]} + ${milliseconds[1]} ms   ${rate.toFixed(0)} tokens/s`);
}

/** Random values once for a layer and for some rows of the embedding, copied over the rest: making all would take long. */
function fillWeights(runtime: StageRuntime): void {
  const random = randomTensors({ ...CONFIG, numLayers: 1, vocabSize: NUM_RANDOM_ROWS }, SEED);
  for (const { name } of stageTensors(runtime.options)) {
    const source = random.get(name.replace(/^layers\.\d+\./, 'layers.0.'));
    if (source === undefined) {
      throw new RangeError(`no tensor like ${name}`);
    }
    const view = runtime.weightView(name);
    for (let at = 0; at < view.length; at += source.length) {
      view.set(source.subarray(0, Math.min(source.length, view.length - at)), at);
    }
  }
  runtime.weightsReady();
}
