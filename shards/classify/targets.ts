/** What examples are labelled with, as indices of labels; several to an example when a classifier is multi-label. */

/** `single`: exactly one label is right (softmax). `multi`: each label is right or not by itself (sigmoids). */
export type ClassifierKind = 'single' | 'multi';

export class Targets {
  readonly kind: ClassifierKind;
  readonly numLabels: number;
  readonly #starts: Uint32Array;
  readonly #labels: Uint16Array;

  /** @param labelsOfRows indices of each row's labels: one for a single-label classifier, any number for the other. */
  constructor(kind: ClassifierKind, numLabels: number, labelsOfRows: readonly (readonly number[])[]) {
    this.kind = kind;
    this.numLabels = numLabels;
    this.#starts = new Uint32Array(labelsOfRows.length + 1);
    labelsOfRows.forEach((labels, row) => (this.#starts[row + 1] = (this.#starts[row] ?? 0) + labels.length));
    this.#labels = Uint16Array.from(labelsOfRows.flat());
  }

  get numRows(): number {
    return this.#starts.length - 1;
  }

  labelsOf(row: number): Uint16Array {
    return this.#labels.subarray(this.#starts[row], this.#starts[row + 1]);
  }

  /** The label of a row of a single-label classifier; the first one of the other kind, or -1 where there is none. */
  firstLabelOf(row: number): number {
    const start = this.#starts[row] ?? 0;
    return start === this.#starts[row + 1] ? -1 : (this.#labels[start] ?? -1);
  }

  /** Examples of each label among `rows`. */
  countByLabel(rows: Iterable<number>): Uint32Array {
    const counts = new Uint32Array(this.numLabels);
    for (const row of rows) {
      for (const label of this.labelsOf(row)) {
        counts[label] = (counts[label] ?? 0) + 1;
      }
    }
    return counts;
  }
}
