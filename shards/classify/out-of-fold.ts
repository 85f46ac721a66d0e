/** What models said about examples that they had not learnt from: the evidence that everything in a report rests on. */
import { logSumExp, sigmoid, softplus } from './loss.ts';
import type { Targets } from './targets.ts';

export class OutOfFold {
  /** Rows of the training set, in the order of the logits. */
  readonly rows: Uint32Array;
  readonly targets: Targets;
  readonly #logits: Float32Array;

  /** @param logits `[rows.length, numLabels]` */
  constructor(rows: Uint32Array, logits: Float32Array, targets: Targets) {
    this.rows = rows;
    this.targets = targets;
    this.#logits = logits;
  }

  get numRows(): number {
    return this.rows.length;
  }

  logitsOf(index: number): Float32Array {
    const { numLabels } = this.targets;
    return this.#logits.subarray(index * numLabels, (index + 1) * numLabels);
  }

  labelsOf(index: number): Uint16Array {
    return this.targets.labelsOf(this.rows[index] ?? 0);
  }

  /** Mean loss, in nats, of the logits divided by `temperature`. */
  meanLoss(temperature: number): number {
    const factor = 1 / temperature;
    let sum = 0;
    for (let index = 0; index < this.numRows; index++) {
      const [logits, labels] = [this.logitsOf(index), this.labelsOf(index)];
      if (this.targets.kind === 'single') {
        sum += logSumExp(logits, factor);
      } else {
        for (const logit of logits) {
          sum += softplus(logit * factor);
        }
      }
      for (const label of labels) {
        sum -= (logits[label] ?? 0) * factor;
      }
    }
    return sum / this.numRows;
  }
}

/** Probabilities from logits, calibrated by `temperature`, into `into`. */
export function toProbabilities(
  kind: Targets['kind'],
  logits: Float32Array,
  temperature: number,
  into: Float32Array,
): void {
  const total = kind === 'single' ? logSumExp(logits, 1 / temperature) : 0;
  for (let label = 0; label < logits.length; label++) {
    const scaled = (logits[label] ?? 0) / temperature;
    into[label] = kind === 'single' ? Math.exp(scaled - total) : sigmoid(scaled);
  }
}

/** Index of the largest value, the first of equals. */
export function indexOfLargest(values: Float32Array): number {
  let best = 0;
  for (let index = 1; index < values.length; index++) {
    best = (values[index] ?? 0) > (values[best] ?? 0) ? index : best;
  }
  return best;
}
