/** Compares the kernels, or a server, with the float32 reference over windows of a text. */
import { setImmediate as yieldToEventLoop } from 'node:timers/promises';
import type { StageRuntime } from '../../wasm/host/stage-runtime.ts';
import type { Step } from '../support/progress.ts';
import { forEachLogitRow } from './engine-logits.ts';
import { argmax, klDivergence, logSumExp, type Quality, QualityTally } from './metrics.ts';
import type { Reference, ReferenceDistributions } from './reference.ts';
import { servedLogProbs, type ServedModel } from './served.ts';

type Windows = readonly (readonly number[])[];

/**
 * Every window starts at position 0 and predicts its tokens after the first. Holds one window of full distributions.
 * @param step gets the number of windows done.
 */
export async function measureQuality(
  runtime: StageRuntime,
  reference: Reference,
  windows: Windows,
  step: Step,
): Promise<Quality> {
  const tally = new QualityTally();
  step.total(windows.length, 'items');
  for (const [index, window] of windows.entries()) {
    compareWindow(runtime, window, await reference.distributions(window), tally);
    step.update(index + 1);
    // The kernels hold the thread for seconds; the progress bar is drawn in between.
    await yieldToEventLoop();
  }
  return tally.quality();
}

function compareWindow(
  runtime: StageRuntime,
  window: readonly number[],
  { logProbs, top1 }: ReferenceDistributions,
  tally: QualityTally,
): void {
  const vocabSize = runtime.options.config.vocabSize;
  forEachLogitRow(runtime, window, (position, logits) => {
    const target = window[position + 1];
    if (target === undefined) {
      return;
    }
    const reference = logProbs.subarray(position * vocabSize, (position + 1) * vocabSize);
    const normaliser = logSumExp(logits);
    tally.add({
      targetLogProb: (logits[target] ?? Number.NaN) - normaliser,
      referenceTargetLogProb: reference[target] ?? Number.NaN,
      klDivergence: klDivergence(reference, logits, normaliser),
      isTop1Equal: argmax(logits) === top1[position],
    });
  });
}

/** The same windows, sent to a server one after the other: perplexities only. */
export async function measurePerplexity(
  server: ServedModel,
  reference: Reference,
  windows: Windows,
  step: Step,
): Promise<Pick<Quality, 'numPredictions' | 'perplexity' | 'referencePerplexity'>> {
  const [ours, theirs]: [number[], number[]] = [[], []];
  step.total(windows.length, 'items');
  for (const [index, window] of windows.entries()) {
    ours.push(...(await servedLogProbs(server, window)));
    theirs.push(...(await reference.targetLogProbs(window)));
    step.update(index + 1);
  }
  return { numPredictions: ours.length, perplexity: perplexity(ours), referencePerplexity: perplexity(theirs) };
}

/** exp of the mean negative log-probability. */
function perplexity(logProbs: readonly number[]): number {
  return Math.exp(-logProbs.reduce((sum, logProb) => sum + logProb, 0) / logProbs.length);
}
