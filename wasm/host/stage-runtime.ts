/** PLACEHOLDER of the contract; the wasm work replaces this file. */
import type { ModelConfig } from './model-config.ts';

/** Tokens in one KV page. */
export const PAGE_SIZE_TOKENS = 16;

/** What one isolate's WASM memory holds. Fixed at creation: nothing is allocated afterwards. */
export interface StageRuntimeOptions {
  readonly config: ModelConfig;
  readonly layerStart: number;
  readonly layerEnd: number;
  /** Stage 0: holds the embedding, the final norm and the LM head. */
  readonly isHead: boolean;
  /** KV pages of `PAGE_SIZE_TOKENS` tokens for the layers of this stage. */
  readonly numPages: number;
  /** Most tokens in one step. */
  readonly numTokensMax: number;
  /** Longest sequence in tokens: bounds page tables and attention scores. */
  readonly contextLengthMax: number;
  /** Most rows of logits computed in one call. */
  readonly numLogitRowsMax: number;
}

/** Bytes of WASM memory by purpose. */
export interface ArenaPlan {
  readonly weightsBytes: number;
  readonly kvBytes: number;
  readonly pageBytes: number;
  readonly scratchBytes: number;
  readonly totalBytes: number;
}

/** One sequence's part of a step: `numTokens` consecutive tokens starting at `startPosition`. */
export interface StepSequence {
  readonly startPosition: number;
  readonly numTokens: number;
  /** Physical page of each `PAGE_SIZE_TOKENS` positions, covering `startPosition + numTokens`. */
  readonly pageTable: ArrayLike<number>;
}

/** Bytes of the arena, by arithmetic alone: the planner calls it, `createStageRuntime` asserts it. */
export declare function planArena(options: StageRuntimeOptions): ArenaPlan;

export interface StageRuntime {
  readonly options: StageRuntimeOptions;
  readonly arena: ArenaPlan;
  readonly memory: WebAssembly.Memory;
  /** Where the packed bytes of a tensor go; exactly its size. The loader writes here, then calls `weightsReady`. */
  weightView(tensorName: string): Uint8Array<ArrayBuffer>;
  weightsReady(): void;
  /** `[numTokensMax, hiddenSize]`: input and output of `forward`. */
  readonly hiddenStates: Float32Array<ArrayBuffer>;
  /** Writes rows of the embedding into `hiddenStates`, starting at row 0. Head only. */
  embed(tokenIds: ArrayLike<number>): void;
  /** Runs this stage's layers on rows `[0, sum of numTokens)` of `hiddenStates`, in place. One call into WASM. */
  forward(sequences: readonly StepSequence[]): void;
  /**
   * Final norm and LM head of the given rows of `hiddenStates` (at most `numLogitRowsMax`). Head only.
   * @returns a view `[rows.length, vocabSize]`, valid until the next call.
   */
  logits(rows: ArrayLike<number>): Float32Array<ArrayBuffer>;
}

export declare function createStageRuntime(module: WebAssembly.Module, options: StageRuntimeOptions): StageRuntime;
