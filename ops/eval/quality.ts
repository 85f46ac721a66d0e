/** Compares the kernels with the float32 reference over windows of a text. */
import { setImmediate as yieldToEventLoop } from 'node:timers/promises';
import type { StageRuntime } from '../../wasm/host/stage-runtime.ts';
import type { Step } from '../support/progress.ts';
import { forEachLogitRow } from './engine-logits.ts';
import { argmax, klDivergence, logSumExp, type Quality, QualityTally } from './metrics.ts';
import type { Reference } from './reference.ts';

/**
 * Every window starts at position 0 and predicts its tokens after the first. Holds one window of full distributions.
 * @param step gets the number of windows done.
 */
export async function measureQuality(
  runtime: StageRuntime,
  reference: Reference,
  windows: readonly (readonly number[])[],
  step: Step,
): Promise<Quality> {
  const tally = new QualityTally();
  step.total(windows.length, 'items');
  for (const [index, window] of windows.entries()) {
    const { logProbs, top1 } = await reference.window(window);
    compareWindow(runtime, window, logProbs, top1, tally);
    step.update(index + 1);
    // The kernels hold the thread for seconds; the progress bar is drawn in between.
    await yieldToEventLoop();
  }
  return tally.quality();
}

function compareWindow(
  runtime: StageRuntime,
  window: readonly number[],
  referenceLogProbs: Float32Array,
  referenceTop1: readonly number[],
  tally: QualityTally,
): void {
  const vocabSize = runtime.options.config.vocabSize;
  forEachLogitRow(runtime, window, (position, logits) => {
    const target = window[position + 1];
    if (target === undefined) {
      return;
    }
    const reference = referenceLogProbs.subarray(position * vocabSize, (position + 1) * vocabSize);
    const normaliser = logSumExp(logits);
    tally.add({
      targetLogProb: (logits[target] ?? Number.NaN) - normaliser,
      referenceTargetLogProb: reference[target] ?? Number.NaN,
      klDivergence: klDivergence(reference, logits, normaliser),
      isTop1Equal: argmax(logits) === referenceTop1[position],
    });
  });
}
