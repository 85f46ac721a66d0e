/**
 * A micro-batch of windows on its way through the first layers. It may stop after any layer and let a step of a stream go
 * first: its rows are kept here meanwhile. Whole windows begin at position 0, so a layer reads no keys and values but
 * those that it has just written, and it does not matter who has the pages between two layers.
 */
import { PAGE_SIZE_TOKENS, type StepSequence } from '../../wasm/host/stage-runtime.ts';
import { pagesForTokens } from '../kv/page-table.ts';
import type { RuntimeLease } from '../model/runtime-host.ts';
import type { TextWindow } from './feature-job.ts';

/**
 * The kernels compute four tokens at a time, and three that are left over as two and one, which takes longer than four: then
 * one more token comes behind the last window. Nothing before a token depends on it, so it changes no bit of a text's.
 */
const TOKENS_AT_ONCE = 4;
/** Any token will do. */
const FILLER_TOKEN = 0;

export class FeatureBatch {
  readonly windows: readonly TextWindow[];
  /** Rows of the step: tokens of all windows, and perhaps one more. */
  readonly numTokens: number;
  readonly #sequences: readonly StepSequence[];
  /** Numbers of layers after which some part is pooled, rising. */
  readonly #stops: readonly number[];
  #numLayersDone = 0;
  /** Rows after `#numLayersDone` layers; null before the first turn. */
  #hiddenStates: Float32Array | null = null;

  /**
   * @param firstPage of the pages that are kept for features
   * @param numTokensMax tokens of a step
   */
  constructor(windows: readonly TextWindow[], firstPage: number, numTokensMax: number) {
    this.windows = windows;
    const numTextTokens = windows.reduce((sum, { tokens }) => sum + tokens.length, 0);
    const isFilled = numTextTokens % TOKENS_AT_ONCE === TOKENS_AT_ONCE - 1 && numTextTokens < numTokensMax;
    // In the last page of the last window, where it has room.
    const hasFiller = isFilled && (windows.at(-1)?.tokens.length ?? 0) % PAGE_SIZE_TOKENS !== 0;
    this.numTokens = numTextTokens + (hasFiller ? 1 : 0);
    let page = firstPage;
    this.#sequences = windows.map(({ tokens }, index) => ({
      startPosition: 0,
      numTokens: tokens.length + (hasFiller && index === windows.length - 1 ? 1 : 0),
      pageTable: Array.from({ length: pagesForTokens(tokens.length) }, () => page++),
    }));
    const stops = windows.flatMap(({ job }) => job.request.parts.map(({ numLayers }) => numLayers));
    this.#stops = [...new Set(stops)].sort((a, b) => a - b);
  }

  /** Everybody who asked for it is gone. */
  get isUnwanted(): boolean {
    return this.windows.every(({ job }) => job.hasEnded);
  }

  /**
   * Runs as many layers as fit, but at least one.
   * @param tokenLayersMax tokens times layers
   * @returns whether the batch is through
   */
  advance({ runtime }: RuntimeLease, tokenLayersMax: number): boolean {
    if (this.#hiddenStates === null) {
      const tokens = this.windows.flatMap((window) => window.tokens);
      runtime.embed(tokens.length < this.numTokens ? [...tokens, FILLER_TOKEN] : tokens);
      this.#pool(runtime.hiddenStates);
    } else {
      runtime.hiddenStates.set(this.#hiddenStates);
    }
    let numLayersLeft = Math.max(1, Math.floor(tokenLayersMax / this.numTokens));
    for (;;) {
      const stop = this.#stops.find((numLayers) => numLayers > this.#numLayersDone);
      if (stop === undefined) {
        return true;
      }
      if (numLayersLeft === 0) {
        const { hiddenSize } = runtime.options.config;
        this.#hiddenStates = runtime.hiddenStates.slice(0, this.numTokens * hiddenSize);
        return false;
      }
      const numLayers = Math.min(numLayersLeft, stop - this.#numLayersDone);
      runtime.forwardRange(this.#sequences, this.#numLayersDone, this.#numLayersDone + numLayers);
      numLayersLeft -= numLayers;
      this.#numLayersDone += numLayers;
      this.#pool(runtime.hiddenStates);
    }
  }

  #pool(hiddenStates: Float32Array): void {
    if (!this.#stops.includes(this.#numLayersDone)) {
      return;
    }
    let row = 0;
    for (const { tokens, pool } of this.windows) {
      const { hiddenSize } = pool;
      pool.add(this.#numLayersDone, hiddenStates.subarray(row * hiddenSize, (row + tokens.length) * hiddenSize));
      row += tokens.length;
    }
  }
}
