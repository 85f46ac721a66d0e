/**
 * How features scatter within the labels, and what it costs to rely on where they scatter. Hidden states vary most along
 * directions that tell of other things than the label (length, tense, politeness); a penalty on the variance of logits
 * among texts of the same label makes the model look past them. It is the idea of "within-class covariance
 * normalization" (Hatch, Kajarekar and Stolcke, 2006), as a term of the objective: nothing is inverted, and the model
 * that comes out is the same linear layer.
 */
import type { LinearWorkspace } from '../../wasm/host/linear-workspace.ts';
import { ScatterWorkspace } from '../../wasm/host/scatter-workspace.ts';
import { BATCH_ROWS_MAX, SCATTER_BYTES_MAX } from './limits.ts';
import { standardisedBatches, type TrainingRows, type Work } from './training-rows.ts';

/** Parts that take part: those of hidden states, from the first one on, as many as there is memory for. */
export function numScatteredParts(shape: Pick<TrainingRows, 'featureSize' | 'partSize' | 'hashedSize'>): number {
  const { featureSize, partSize, hashedSize } = shape;
  const matrixBytes = partSize * partSize * Float32Array.BYTES_PER_ELEMENT;
  return Math.min((featureSize - hashedSize) / partSize, Math.floor(SCATTER_BYTES_MAX / matrixBytes));
}

export class WithinScatter {
  readonly #scatter: ScatterWorkspace;
  readonly #linear: LinearWorkspace;

  /** @param numParts see `numScatteredParts` */
  constructor(kernels: WebAssembly.Module, linear: LinearWorkspace, numParts: number) {
    this.#linear = linear;
    const { partSize } = linear.shape;
    this.#scatter = new ScatterWorkspace(kernels, { numParts, partSize, batchRowsMax: BATCH_ROWS_MAX });
  }

  /**
   * Measures the scatter of standardised features of `rows` around the means of their (first) labels, scaled to a mean
   * variance of 1, less where there are few rows to tell from. Uses the linear workspace's gradient.
   */
  *measure(source: TrainingRows, rows: Uint32Array): Work<void> {
    const { logits, gradient, shape } = this.#linear;
    const { numLabels } = shape;
    const counts = new Uint32Array(numLabels);
    gradient.fill(0);
    this.#scatter.scatter.fill(0);
    for (const batch of standardisedBatches(this.#linear, source, rows)) {
      // With 1 in the column of the label "gradients" are sums of the rows of each label.
      logits.fill(0, 0, batch.length * numLabels);
      batch.forEach((row, at) => {
        const label = source.targets.firstLabelOf(row);
        if (label >= 0) {
          logits[at * numLabels + label] = 1;
          counts[label] = (counts[label] ?? 0) + 1;
        }
      });
      this.#linear.addGradient(batch.length);
      const hasLabel = (at: number): number => (source.targets.firstLabelOf(batch[at] ?? 0) >= 0 ? 1 : 0);
      this.#addOuter(this.#linear.standardised, 0, batch.length, hasLabel);
      yield batch.length * (numLabels * this.#linear.cols + this.#macsOfRow);
    }
    for (let start = 0; start < numLabels; start += BATCH_ROWS_MAX) {
      const numRows = Math.min(BATCH_ROWS_MAX, numLabels - start);
      this.#addOuter(gradient, start, numRows, (at) => -1 / Math.max(1, counts[start + at] ?? 0));
      yield numRows * this.#macsOfRow;
    }
    const numPresent = counts.filter((count) => count > 0).length;
    this.#scale(counts.reduce((sum, count) => sum + count, 0) - numPresent);
  }

  /**
   * Adds `strength` times weights times scatter to the linear workspace's gradient.
   * @returns half of `strength` times the variance of the logits, summed over the labels, in multiplies of the scatter's
   */
  *penalise(strength: number): Work<number> {
    const { weights, gradient, cols, shape } = this.#linear;
    const { numParts, partSize } = this.#scatter.shape;
    const { rows, products } = this.#scatter;
    let sum = 0;
    for (let start = 0; start < shape.numLabels; start += BATCH_ROWS_MAX) {
      const numRows = Math.min(BATCH_ROWS_MAX, shape.numLabels - start);
      for (let part = 0; part < numParts; part++) {
        this.#copyPart(weights, start, numRows, part);
        this.#scatter.multiply(part, numRows);
        for (let row = 0; row < numRows; row++) {
          const from = (start + row) * cols + part * partSize;
          for (let at = 0; at < partSize; at++) {
            const product = products[row * partSize + at] ?? 0;
            sum += (rows[row * partSize + at] ?? 0) * product;
            gradient[from + at] = (gradient[from + at] ?? 0) + strength * product;
          }
        }
      }
      yield numRows * this.#macsOfRow;
    }
    return 0.5 * strength * sum;
  }

  get #macsOfRow(): number {
    const { numParts, partSize } = this.#scatter.shape;
    return numParts * partSize * partSize;
  }

  /** Adds the outer products of rows with themselves, each times its factor. */
  #addOuter(matrix: Float32Array, start: number, numRows: number, factorOf: (at: number) => number): void {
    const { numParts, partSize } = this.#scatter.shape;
    const { rows, factors } = this.#scatter;
    for (let part = 0; part < numParts; part++) {
      this.#copyPart(matrix, start, numRows, part);
      for (let row = 0; row < numRows; row++) {
        const factor = factorOf(row);
        for (let at = row * partSize; at < (row + 1) * partSize; at++) {
          factors[at] = (rows[at] ?? 0) * factor;
        }
      }
      this.#scatter.addOuter(part, numRows);
    }
  }

  /** @param matrix `[any number of rows, cols]` */
  #copyPart(matrix: Float32Array, start: number, numRows: number, part: number): void {
    const { partSize } = this.#scatter.shape;
    for (let row = 0; row < numRows; row++) {
      const from = (start + row) * this.#linear.cols + part * partSize;
      this.#scatter.rows.set(matrix.subarray(from, from + partSize), row * partSize);
    }
  }

  /** @param numFree rows beyond the first one of each label: as many directions are known at most */
  #scale(numFree: number): void {
    const { numParts, partSize } = this.#scatter.shape;
    const trust = numFree / (numFree + partSize);
    for (let part = 0; part < numParts; part++) {
      const matrix = this.#scatter.scatter.subarray(part * partSize * partSize, (part + 1) * partSize * partSize);
      let trace = 0;
      for (let at = 0; at < matrix.length; at += partSize + 1) {
        trace += matrix[at] ?? 0;
      }
      // Texts that are all the same leave nothing but rounding.
      const factor = numFree === 0 || trace <= numFree * TRACE_MIN ? 0 : (trust * partSize) / trace;
      for (let at = 0; at < matrix.length; at++) {
        matrix[at] = (matrix[at] ?? 0) * factor;
      }
    }
  }
}

/** Of a row's squared length 1: below it f32 sums are noise. */
const TRACE_MIN = 1e-5;
