/** Compares the kernels with golden distributions. */
import type { StageRuntime } from '../../wasm/host/stage-runtime.ts';
import type { GoldenDistribution } from './compact.ts';
import { forEachLogitRow } from './engine-logits.ts';
import { argmax, klDivergenceOfTop, logSumExp, type QualityTally } from './metrics.ts';

/**
 * Feeds `tokens` and compares what the kernels predict for each of `golden`, which stands for the tokens from
 * `firstPredicted` on: `golden[0]` is the distribution of `tokens[firstPredicted]`. The divergence is that of the
 * stored tokens and the rest.
 */
export function compareWithGolden(
  runtime: StageRuntime,
  tokens: readonly number[],
  firstPredicted: number,
  golden: readonly GoldenDistribution[],
  tally: QualityTally,
): void {
  forEachLogitRow(runtime, tokens, (position, logits) => {
    const expected = golden[position + 1 - firstPredicted];
    const target = tokens[position + 1];
    if (expected === undefined || target === undefined) {
      return;
    }
    const normaliser = logSumExp(logits);
    tally.add({
      targetLogProb: (logits[target] ?? Number.NaN) - normaliser,
      referenceTargetLogProb: expected.targetLogProb,
      klDivergence: klDivergenceOfTop(expected.topIds, expected.topLogProbs, logits, normaliser),
      isTop1Equal: argmax(logits) === expected.topIds[0],
    });
  });
}
