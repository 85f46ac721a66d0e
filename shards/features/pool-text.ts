/** Pooling of one text's hidden states, window after window. Sums are taken in the order of the tokens, in f32. */
import type { FeaturePart } from './feature-protocol.ts';

export class TextPool {
  /** `[parts.length * hiddenSize]`; the features once `finish` was called. */
  readonly features: Float32Array<ArrayBuffer>;
  readonly #parts: readonly FeaturePart[];
  readonly hiddenSize: number;

  constructor(parts: readonly FeaturePart[], hiddenSize: number) {
    this.#parts = parts;
    this.hiddenSize = hiddenSize;
    this.features = new Float32Array(parts.length * hiddenSize);
    for (const [index, { pooling }] of parts.entries()) {
      if (pooling === 'max') {
        this.#part(index).fill(-Infinity);
      }
    }
  }

  /** Adds the hidden states `[number of tokens, hiddenSize]` of a window after `numLayers` layers. */
  add(numLayers: number, hiddenStates: Float32Array): void {
    for (const [index, part] of this.#parts.entries()) {
      if (part.numLayers === numLayers) {
        const pooled = this.#part(index);
        (part.pooling === 'mean' ? addRows : maximiseRows)(pooled, hiddenStates);
      }
    }
  }

  /** @param numTokens of the whole text */
  finish(numTokens: number): void {
    for (const [index, { pooling }] of this.#parts.entries()) {
      if (pooling === 'mean') {
        const pooled = this.#part(index);
        for (let at = 0; at < pooled.length; at++) {
          pooled[at] = (pooled[at] as number) / numTokens;
        }
      }
    }
  }

  #part(index: number): Float32Array<ArrayBuffer> {
    return this.features.subarray(index * this.hiddenSize, (index + 1) * this.hiddenSize);
  }
}

function addRows(pooled: Float32Array, rows: Float32Array): void {
  const size = pooled.length;
  for (let start = 0; start < rows.length; start += size) {
    for (let at = 0; at < size; at++) {
      pooled[at] = (pooled[at] as number) + (rows[start + at] as number);
    }
  }
}

function maximiseRows(pooled: Float32Array, rows: Float32Array): void {
  const size = pooled.length;
  for (let start = 0; start < rows.length; start += size) {
    for (let at = 0; at < size; at++) {
      const value = rows[start + at] as number;
      if (value > (pooled[at] as number)) {
        pooled[at] = value;
      }
    }
  }
}
