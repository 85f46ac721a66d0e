/** Losses of one example: each takes its logits, leaves the residuals (the loss's gradient) in their place. */
import type { ClassifierKind } from './targets.ts';

/** @param row logits `[numLabels]`, overwritten. @returns the loss in nats. */
export type Loss = (row: Float32Array, labels: Uint16Array) => number;

/** ln(Σ e^row), safe for any size of logits. */
export function logSumExp(row: Float32Array, factor = 1): number {
  let largest = -Infinity;
  for (const logit of row) {
    largest = Math.max(largest, logit);
  }
  let sum = 0;
  for (const logit of row) {
    sum += Math.exp((logit - largest) * factor);
  }
  return largest * factor + Math.log(sum);
}

/** ln(1 + e^x) without overflow. */
export function softplus(x: number): number {
  return Math.max(x, 0) + Math.log1p(Math.exp(-Math.abs(x)));
}

export function sigmoid(x: number): number {
  return 1 / (1 + Math.exp(-x));
}

/** Cross entropy of the softmax with the one right label. */
export const softmaxLoss: Loss = (row, labels) => {
  const right = labels[0] ?? 0;
  const total = logSumExp(row);
  const loss = total - (row[right] ?? 0);
  for (let label = 0; label < row.length; label++) {
    row[label] = Math.exp((row[label] ?? 0) - total);
  }
  row[right] = (row[right] ?? 0) - 1;
  return loss;
};

/** Sum over all labels of the cross entropy of each label's own sigmoid: one against the rest. */
export const sigmoidLoss: Loss = (row, labels) => {
  let loss = 0;
  for (const label of labels) {
    loss -= row[label] ?? 0;
  }
  for (let label = 0; label < row.length; label++) {
    const logit = row[label] ?? 0;
    loss += softplus(logit);
    row[label] = sigmoid(logit);
  }
  for (const label of labels) {
    row[label] = (row[label] ?? 0) - 1;
  }
  return loss;
};

export function lossOf(kind: ClassifierKind): Loss {
  return kind === 'single' ? softmaxLoss : sigmoidLoss;
}
