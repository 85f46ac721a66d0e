/**
 * Chooses the next token. The order of the steps is that of transformers' `GenerationMixin` (bias and penalties first,
 * then temperature, top-k, top-p, min-p); vLLM differs only in testing min-p before top-k, which matters when both are
 * set. Each filter looks at the distribution that the one before left, renormalised.
 */
import { assert } from '../../wasm/host/assert.ts';
import type { SamplingParams } from '../engine/protocol.ts';
import { applyPenalties, type TokenHistory } from './penalties.ts';
import { uniformAt } from './philox.ts';
import { power, powerScale } from './powers.ts';
import { findCut, orderKey, type Cut } from './radix-select.ts';

/** Working memory for one vocabulary; used by one call at a time, so that all sequences of an engine share it. */
export class Sampler {
  /** Logits after bias and penalties, `[vocabSize]`, and the same bytes as integers. */
  readonly #logits: Float32Array;
  readonly #logitBits: Uint32Array;
  /** The tokens still in the running, in ascending order, with the weight of each and, for a selection, its key. */
  readonly #tokenIds: Uint32Array;
  readonly #allTokenIds: Uint32Array;
  readonly #keys: Uint32Array;
  readonly #weights: Float64Array;
  #numCandidates = 0;

  constructor(vocabSize: number) {
    const buffer = new ArrayBuffer(vocabSize * Float32Array.BYTES_PER_ELEMENT);
    this.#logits = new Float32Array(buffer);
    this.#logitBits = new Uint32Array(buffer);
    this.#tokenIds = new Uint32Array(vocabSize);
    this.#allTokenIds = Uint32Array.from(this.#tokenIds.keys());
    this.#keys = new Uint32Array(vocabSize);
    this.#weights = new Float64Array(vocabSize);
  }

  /**
   * @param logits `[vocabSize]`, left as they are.
   * @param history what the penalties look at; null when `usesHistory(params)` is false.
   * @param position of the token that is chosen: with the seed it decides the random number.
   * @returns the token id. Of equal logits the lowest id counts as the more likely one.
   */
  sample(logits: Float32Array, history: TokenHistory | null, params: SamplingParams, position: number): number {
    assert(logits.length === this.#logits.length, 'logits have another length than the vocabulary');
    const isGreedy = params.temperature === 0 || params.topK === 1;
    if (isGreedy && history === null && params.logitBias.length === 0) {
      // Nothing to change, so nothing to copy: a row is 200 kB.
      return indexOfFiniteMax(logits);
    }
    this.#logits.set(logits);
    applyPenalties(this.#logits, history, params);
    const best = indexOfFiniteMax(this.#logits);
    if (isGreedy) {
      return best;
    }
    const logitMax = this.#logits[best] as number;
    this.#keepAll();
    if (params.topK > 0 && params.topK < this.#numCandidates) {
      this.#keepAbove(findCut(this.#candidateKeys(), this.#numCandidates, null, params.topK));
    }
    const weightSum = this.#weigh(logitMax, params.temperature);
    if (params.topP < 1) {
      this.#keepNucleus(params.topP, weightSum);
    }
    if (params.minP > 0) {
      this.#keepHeavierThan(params.minP);
    }
    return this.#draw(uniformAt(params.seed, position));
  }

  #keepAll(): void {
    this.#tokenIds.set(this.#allTokenIds);
    this.#numCandidates = this.#logits.length;
  }

  #candidateKeys(): Uint32Array {
    for (let i = 0; i < this.#numCandidates; i++) {
      this.#keys[i] = orderKey(this.#logitBits[this.#tokenIds[i] as number] as number);
    }
    return this.#keys;
  }

  /** Unnormalised probabilities; the most likely token has weight 1 exactly. @returns their sum */
  #weigh(logitMax: number, temperature: number): number {
    const scale = powerScale(temperature);
    let sum = 0;
    for (let i = 0; i < this.#numCandidates; i++) {
      const logit = this.#logits[this.#tokenIds[i] as number] as number;
      const weight = power((logit - logitMax) * scale);
      this.#weights[i] = weight;
      sum += weight;
    }
    return sum;
  }

  /**
   * Top-p. Candidates that are so light that all of them together could not weigh what the nucleus leaves out are
   * dropped first: that is most of a vocabulary, and the selection has few left to look at.
   */
  #keepNucleus(topP: number, weightSum: number): void {
    this.#keepHeavierThan(((1 - topP) * weightSum) / this.#numCandidates);
    const target = Math.max(topP * weightSum, Number.MIN_VALUE);
    this.#keepAbove(findCut(this.#candidateKeys(), this.#numCandidates, this.#weights, target));
  }

  #weightSum(): number {
    let sum = 0;
    for (let i = 0; i < this.#numCandidates; i++) {
      sum += this.#weights[i] as number;
    }
    return sum;
  }

  #keepAbove(cut: Cut): void {
    let numKept = 0;
    let numTiesLeft = cut.numTies;
    for (let i = 0; i < this.#numCandidates; i++) {
      const key = this.#keys[i] as number;
      if (key > cut.key || (key === cut.key && numTiesLeft-- > 0)) {
        this.#move(i, numKept++);
      }
    }
    this.#numCandidates = numKept;
  }

  /** @param weightMin the most likely token has weight 1, and stays. */
  #keepHeavierThan(weightMin: number): void {
    let numKept = 0;
    for (let i = 0; i < this.#numCandidates; i++) {
      if ((this.#weights[i] as number) >= weightMin) {
        this.#move(i, numKept++);
      }
    }
    this.#numCandidates = numKept;
  }

  #move(from: number, to: number): void {
    this.#tokenIds[to] = this.#tokenIds[from] as number;
    this.#keys[to] = this.#keys[from] as number;
    this.#weights[to] = this.#weights[from] as number;
  }

  /** Inverse transform sampling in order of token ids. */
  #draw(uniform: number): number {
    const weightSum = this.#weightSum();
    assert(Number.isFinite(weightSum), 'a logit is not a number');
    const target = uniform * weightSum;
    let sum = 0;
    for (let i = 0; i < this.#numCandidates; i++) {
      sum += this.#weights[i] as number;
      if (sum > target) {
        return this.#tokenIds[i] as number;
      }
    }
    // `uniform` is below 1, but the product may round up to the whole sum.
    return this.#tokenIds[this.#numCandidates - 1] as number;
  }
}

function indexOfFiniteMax(logits: Float32Array): number {
  const best = indexOfMax(logits);
  assert(Number.isFinite(logits[best]), 'the largest logit is not finite');
  return best;
}

/** Index of the largest element, the lowest one of equals. */
export function indexOfMax(values: Float32Array): number {
  let best = 0;
  let max = values[0] as number;
  for (let i = 1; i < values.length; i++) {
    const value = values[i] as number;
    if (value > max) {
      max = value;
      best = i;
    }
  }
  return best;
}
