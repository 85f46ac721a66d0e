/** How good a classifier's answers are on examples that it has not seen. */

/** One answer, beside what it should have been. */
export interface Answer {
  /** Null for a text that belongs to none of the labels. */
  readonly actual: string | null;
  readonly predicted: string;
  /** Probability of the predicted label. */
  readonly confidence: number;
  /** 0 to 1; null where nothing tells. */
  readonly outOfScope: number | null;
}

/** Answers whose confidence is from `from` up to, not including, `to`. */
export interface ReliabilityBin {
  readonly from: number;
  readonly to: number;
  readonly count: number;
  readonly meanConfidence: number;
  readonly accuracy: number;
}

export interface Evaluation {
  /** Over texts that have a label. */
  readonly numAnswers: number;
  readonly accuracy: number;
  readonly macroF1: number;
  readonly ece: number;
  readonly bins: readonly ReliabilityBin[];
  readonly confusions: readonly { readonly actual: string; readonly predicted: string; readonly count: number }[];
  /** How well out-of-scope texts are told from the others; null without any. */
  readonly outOfScopeAuroc: number | null;
}

/** As in the paper on calibration of Guo et al., 2017. */
const NUM_BINS = 15;

export function evaluate(answers: readonly Answer[]): Evaluation {
  const known = answers.filter((answer): answer is Answer & { actual: string } => answer.actual !== null);
  const bins = reliabilityBins(known);
  const counts = new Map<string, number>();
  for (const { actual, predicted } of known) {
    if (actual !== predicted) {
      const key = JSON.stringify([actual, predicted]);
      counts.set(key, (counts.get(key) ?? 0) + 1);
    }
  }
  const confusions = [...counts].map(([key, count]) => {
    const [actual, predicted] = JSON.parse(key) as [string, string];
    return { actual, predicted, count };
  });
  return {
    numAnswers: known.length,
    accuracy: share(known.filter(({ actual, predicted }) => actual === predicted).length, known.length),
    macroF1: macroF1(known),
    ece: bins.reduce((sum, bin) => sum + (bin.count / known.length) * Math.abs(bin.accuracy - bin.meanConfidence), 0),
    bins,
    confusions: confusions.sort((a, b) => b.count - a.count || (a.actual < b.actual ? -1 : 1)),
    outOfScopeAuroc: outOfScopeAuroc(answers),
  };
}

const share = (part: number, whole: number): number => (whole === 0 ? 0 : part / whole);

/** Mean F1 of the labels that occur among the examples. */
function macroF1(answers: readonly (Answer & { readonly actual: string })[]): number {
  const labels = [...new Set(answers.map(({ actual }) => actual))];
  const scores = labels.map((label) => {
    const numRight = answers.filter(({ actual, predicted }) => actual === label && predicted === label).length;
    const numActual = answers.filter(({ actual }) => actual === label).length;
    const numPredicted = answers.filter(({ predicted }) => predicted === label).length;
    return share(2 * numRight, numActual + numPredicted);
  });
  return share(
    scores.reduce((sum, score) => sum + score, 0),
    scores.length,
  );
}

function reliabilityBins(answers: readonly Answer[]): ReliabilityBin[] {
  return Array.from({ length: NUM_BINS }, (_, index) => {
    const [from, to] = [index / NUM_BINS, (index + 1) / NUM_BINS];
    const isLast = index === NUM_BINS - 1;
    const inside = answers.filter(({ confidence }) => confidence >= from && (confidence < to || isLast));
    return {
      from,
      to,
      count: inside.length,
      meanConfidence: share(
        inside.reduce((sum, { confidence }) => sum + confidence, 0),
        inside.length,
      ),
      accuracy: share(inside.filter(({ actual, predicted }) => actual === predicted).length, inside.length),
    };
  });
}

/**
 * Area under the ROC curve of the out-of-scope score: the probability that a text out of scope has a higher one than a text
 * in scope, ties counting half (Mann and Whitney, 1947).
 */
function outOfScopeAuroc(answers: readonly Answer[]): number | null {
  const scored = answers
    .flatMap(({ actual, outOfScope }) => (outOfScope === null ? [] : [{ isOut: actual === null, score: outOfScope }]))
    .sort((a, b) => a.score - b.score);
  const numOut = scored.filter(({ isOut }) => isOut).length;
  const numIn = scored.length - numOut;
  if (numOut === 0 || numIn === 0) {
    return null;
  }
  let rankSum = 0;
  for (let start = 0; start < scored.length;) {
    let end = start;
    while (end < scored.length && scored[end]?.score === scored[start]?.score) {
      end++;
    }
    // Ranks count from 1; those of equal scores share their mean.
    const meanRank = (start + 1 + end) / 2;
    rankSum += meanRank * scored.slice(start, end).filter(({ isOut }) => isOut).length;
    start = end;
  }
  return (rankSum - (numOut * (numOut + 1)) / 2) / (numOut * numIn);
}
