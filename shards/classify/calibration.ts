/**
 * Makes probabilities mean what they say. One temperature divides all logits (Guo et al., "On Calibration of Modern
 * Neural Networks", 2017); it is fitted to logits of examples that the model had not seen.
 */
import { indexOfLargest, toProbabilities, type OutOfFold } from './out-of-fold.ts';

const TEMPERATURE_MIN = 0.02;
const TEMPERATURE_MAX = 50;
/** Narrows the range of ln T to a thousandth. */
const NUM_STEPS = 20;
const GOLDEN = (Math.sqrt(5) - 1) / 2;

/** Bins of confidence, of equal width: as many as the literature takes. */
const NUM_BINS = 15;

export interface ReliabilityBin {
  /** Confidences in `[from, to)`, the last one with 1. */
  readonly from: number;
  readonly to: number;
  readonly count: number;
  readonly meanConfidence: number;
  readonly accuracy: number;
}

export interface Calibration {
  readonly temperature: number;
  /** Mean loss in nats after scaling. */
  readonly logLoss: number;
  /** Expected calibration error: mean distance of accuracy and confidence over the bins, weighted by their counts. */
  readonly ece: number;
  readonly bins: readonly ReliabilityBin[];
}

/** The loss has one minimum in T, since it is convex in 1/T: golden section on ln T. */
export function fitTemperature(outOfFold: OutOfFold): number {
  let [low, high] = [Math.log(TEMPERATURE_MIN), Math.log(TEMPERATURE_MAX)];
  const lossAt = (logT: number): number => outOfFold.meanLoss(Math.exp(logT));
  let [left, right] = [high - GOLDEN * (high - low), low + GOLDEN * (high - low)];
  let [lossLeft, lossRight] = [lossAt(left), lossAt(right)];
  for (let step = 0; step < NUM_STEPS; step++) {
    if (lossLeft < lossRight) {
      [high, right, lossRight] = [right, left, lossLeft];
      left = high - GOLDEN * (high - low);
      lossLeft = lossAt(left);
    } else {
      [low, left, lossLeft] = [left, right, lossRight];
      right = low + GOLDEN * (high - low);
      lossRight = lossAt(right);
    }
  }
  return Math.exp((low + high) / 2);
}

/** Confidences of a single-label classifier are those of its answers; of the other kind, those of every label. */
export function calibrate(outOfFold: OutOfFold): Calibration {
  const temperature = fitTemperature(outOfFold);
  const tallies = Array.from({ length: NUM_BINS }, () => ({ count: 0, confidence: 0, numRight: 0 }));
  forEachConfidence(outOfFold, temperature, (confidence, isRight) => {
    const tally = tallies[Math.min(NUM_BINS - 1, Math.floor(confidence * NUM_BINS))];
    if (tally !== undefined) {
      tally.count += 1;
      tally.confidence += confidence;
      tally.numRight += isRight ? 1 : 0;
    }
  });
  const total = tallies.reduce((sum, { count }) => sum + count, 0);
  const bins = tallies.map(({ count, confidence, numRight }, index) => ({
    from: index / NUM_BINS,
    to: (index + 1) / NUM_BINS,
    count,
    meanConfidence: count === 0 ? 0 : confidence / count,
    accuracy: count === 0 ? 0 : numRight / count,
  }));
  const ece = bins.reduce((sum, bin) => sum + (bin.count / total) * Math.abs(bin.accuracy - bin.meanConfidence), 0);
  return { temperature, logLoss: outOfFold.meanLoss(temperature), ece, bins: bins.filter(({ count }) => count > 0) };
}

function forEachConfidence(
  outOfFold: OutOfFold,
  temperature: number,
  visit: (confidence: number, isRight: boolean) => void,
): void {
  const { kind, numLabels } = outOfFold.targets;
  const probabilities = new Float32Array(numLabels);
  for (let index = 0; index < outOfFold.numRows; index++) {
    toProbabilities(kind, outOfFold.logitsOf(index), temperature, probabilities);
    const labels = outOfFold.labelsOf(index);
    if (kind === 'single') {
      const answer = indexOfLargest(probabilities);
      visit(probabilities[answer] ?? 0, labels.includes(answer));
      continue;
    }
    for (let label = 0; label < numLabels; label++) {
      visit(probabilities[label] ?? 0, labels.includes(label));
    }
  }
}
