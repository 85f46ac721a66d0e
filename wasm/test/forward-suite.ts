/** A stage's forward pass: against the f64 decoder, and bit for bit for every way of cutting, batching and splitting. */
import { describe, expect, it } from 'vitest';
import type { ModelConfig } from '../host/model-config.ts';
import { createStageRuntime, PAGE_SIZE_TOKENS } from '../host/stage-runtime.ts';
import type { StageRuntime, StepSequence } from '../host/stage-runtime.ts';
import { EXACT, INT8, ReferenceDecoder } from '../reference/decoder.ts';
import { expectSameBytes } from './kernel-bench.ts';
import { loadTensors, randomTensors } from './random-model.ts';
import type { RandomTensors } from './random-model.ts';
import { Random } from './random.ts';

const BASE: ModelConfig = {
  hiddenSize: 64,
  intermediateSize: 96,
  numLayers: 5,
  numQueryHeads: 4,
  numKvHeads: 2,
  headDim: 16,
  vocabSize: 61,
  rmsNormEps: 1e-5,
  ropeTheta: 10_000,
  contextLengthMax: 256,
  attentionBias: false,
  tiedEmbedding: true,
};
/** Every shape of decoder that a configuration may describe. */
const CONFIGS: Record<string, Partial<ModelConfig>> = {
  'tied, grouped queries': {},
  'attention bias, untied head': { attentionBias: true, tiedEmbedding: false },
  'one KV head per query head': { numQueryHeads: 2, numKvHeads: 2 },
  'three query heads to a KV head of 64': { numQueryHeads: 3, numKvHeads: 1, headDim: 64, hiddenSize: 192 },
  'eight query heads to one KV head': { numQueryHeads: 8, numKvHeads: 1 },
  'nine query heads of 32 to one': { numQueryHeads: 9, numKvHeads: 1, headDim: 32, vocabSize: 8 },
  'headDim 128, one column group': { numQueryHeads: 2, numKvHeads: 1, headDim: 128, hiddenSize: 32, vocabSize: 35 },
};
const SEEDS = [1, 2, 3, 4, 5, 6, 7];
const PROMPT_LENGTH = 70;
const NUM_PAGES = 40;
/**
 * Int8 activations and KV put noise of about 1/127/sqrt(12) of a group's largest value on every input of a projection:
 * some 4e-5 of its energy; a few times ten such noises add up over 5 layers.
 */
const NMSE_EXACT_MAX = 4e-3;
/** With the same rounding in the oracle only f32 and 16-bit rounding is left, unless an activation rounds the other way. */
const NMSE_ROUNDED_MAX = 1e-9;

export function forwardSuite(module: WebAssembly.Module): void {
  describe('forward pass', () => {
    describe.each(Object.entries(CONFIGS))('%s', (_, overrides) => {
      const config = { ...BASE, ...overrides };
      it('agrees with the f64 decoder', () => expectOracleAgrees(module, config));
      it('gives the same bits however the prompt is cut', () => expectChunkInvariance(module, config));
    });

    it('gives the same bits alone and beside other sequences', () => expectBatchInvariance(module, BASE));
    it('gives the same bits however the layers are split', () => expectSplitInvariance(module, BASE));
    it('gives the same bits in ranges of layers, also when another step comes between', () =>
      expectRangeInvariance(module, BASE));
    it('gives the same bits on any pages, and on pages copied to another stage', () =>
      expectPageInvariance(module, BASE));
    it('gives the same logits for rows asked together or one by one', () => expectLogitRowInvariance(module, BASE));
  });
}

interface Layers {
  readonly layerStart: number;
  readonly layerEnd: number;
}

function makeStage(
  module: WebAssembly.Module,
  config: ModelConfig,
  tensors: RandomTensors,
  layers: Layers,
): StageRuntime {
  const runtime = createStageRuntime(module, {
    config,
    ...layers,
    isHead: layers.layerStart === 0,
    numPages: NUM_PAGES,
    numTokensMax: 2 * PROMPT_LENGTH,
    contextLengthMax: config.contextLengthMax,
    numLogitRowsMax: PROMPT_LENGTH,
  });
  loadTensors(runtime, tensors);
  return runtime;
}

function makeModel(module: WebAssembly.Module, config: ModelConfig, seed: number): StageRuntime {
  return makeStage(module, config, randomTensors(config, seed), { layerStart: 0, layerEnd: config.numLayers });
}

function randomTokens(config: ModelConfig, length: number, seed: number): number[] {
  const random = new Random(seed);
  return Array.from({ length }, () => random.integer(0, config.vocabSize - 1));
}

/** Pages from `first` on, downwards, so that neither order nor start is what a mistake would give. */
function pagesFrom(first: number, numTokens: number): number[] {
  return Array.from({ length: Math.ceil(numTokens / PAGE_SIZE_TOKENS) }, (_, index) => first - index);
}

/** Logits `[tokens.length, vocabSize]` of a prompt that is fed in chunks. */
function runChunks(runtime: StageRuntime, tokens: readonly number[], chunk: number, pageTable: number[]): Float32Array {
  const { vocabSize } = runtime.options.config;
  const logits = new Float32Array(tokens.length * vocabSize);
  for (let start = 0; start < tokens.length; start += chunk) {
    const part = tokens.slice(start, start + chunk);
    runtime.embed(part);
    runtime.forward([{ startPosition: start, numTokens: part.length, pageTable }]);
    logits.set(runtime.logits([...part.keys()]), start * vocabSize);
  }
  return logits;
}

function bytesOf(values: Float32Array): Uint8Array {
  return new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
}

/** Squared error as a share of the expected energy. */
function nmse(actual: Float32Array, expected: Float64Array): number {
  let [error, energy] = [0, 0];
  for (const [index, value] of expected.entries()) {
    error += ((actual[index] ?? NaN) - value) ** 2;
    energy += value ** 2;
  }
  return error / energy;
}

function expectOracleAgrees(module: WebAssembly.Module, config: ModelConfig): void {
  const { vocabSize } = config;
  const length = 20;
  const roundedErrors: number[] = [];
  for (const seed of SEEDS) {
    const tensors = randomTensors(config, seed);
    const runtime = makeStage(module, config, tensors, { layerStart: 0, layerEnd: config.numLayers });
    const tokens = randomTokens(config, length, seed);
    const logits = runChunks(runtime, tokens, length, pagesFrom(9, length));
    const packed = (name: string): Uint8Array => tensors.get(name) ?? new Uint8Array();
    const exact = new ReferenceDecoder(config, packed, EXACT);
    const exactLogits = Float64Array.from(tokens.flatMap((token) => [...exact.next(token)]));
    expect(nmse(logits, exactLogits), `seed ${seed}, against the exact decoder`).toBeLessThan(NMSE_EXACT_MAX);
    // The first token alone: what comes later inherits every activation that rounded the other way before.
    const rounded = new ReferenceDecoder(config, packed, INT8);
    roundedErrors.push(nmse(logits.subarray(0, vocabSize), rounded.next(tokens[0] ?? 0)));
  }
  const median = roundedErrors.toSorted((a, b) => a - b)[roundedErrors.length >> 1];
  expect(median, `seeds ${SEEDS.join()}: ${roundedErrors.join()}`).toBeLessThan(NMSE_ROUNDED_MAX);
}

function expectChunkInvariance(module: WebAssembly.Module, config: ModelConfig): void {
  const runtime = makeModel(module, config, 11);
  const tokens = randomTokens(config, PROMPT_LENGTH, 11);
  const pageTable = pagesFrom(30, PROMPT_LENGTH);
  const whole = runChunks(runtime, tokens, PROMPT_LENGTH, pageTable);
  for (const chunk of [1, 2, 3, 5, 7, 16, 17, 64]) {
    const cut = runChunks(runtime, tokens, chunk, pageTable);
    expectSameBytes(bytesOf(cut), bytesOf(whole), `chunks of ${chunk}`);
  }
}

function expectBatchInvariance(module: WebAssembly.Module, config: ModelConfig): void {
  const runtime = makeModel(module, config, 12);
  const prompts = [33, 1, 17, 40].map((length, index) => randomTokens(config, length, 100 + index));
  const tables = prompts.map((prompt, index) => pagesFrom(8 + 8 * index, prompt.length));
  const alone = prompts.map((prompt, index) => runChunks(runtime, prompt, prompt.length, tables[index] ?? []));

  // Together: first one chunk of each, of different lengths, then what is left of each, in another order.
  const firstLengths = [20, 1, 5, 40];
  const { vocabSize } = config;
  const together = prompts.map((prompt) => new Float32Array(prompt.length * vocabSize));
  const runStep = (parts: { index: number; start: number; end: number }[]): void => {
    const steps: StepSequence[] = parts.map(({ index, start, end }) => ({
      startPosition: start,
      numTokens: end - start,
      pageTable: tables[index] ?? [],
    }));
    runtime.embed(parts.flatMap(({ index, start, end }) => prompts[index]?.slice(start, end) ?? []));
    runtime.forward(steps);
    let row = 0;
    for (const { index, start, end } of parts) {
      for (let position = start; position < end; position++) {
        together[index]?.set(runtime.logits([row++]), position * vocabSize);
      }
    }
  };
  runStep(firstLengths.map((end, index) => ({ index, start: 0, end })));
  runStep([2, 0].map((index) => ({ index, start: firstLengths[index] ?? 0, end: prompts[index]?.length ?? 0 })));
  for (const [index, logits] of alone.entries()) {
    expectSameBytes(bytesOf(together[index] ?? new Float32Array()), bytesOf(logits), `sequence ${index}`);
  }
}

function expectSplitInvariance(module: WebAssembly.Module, config: ModelConfig): void {
  const tensors = randomTensors(config, 13);
  const tokens = randomTokens(config, PROMPT_LENGTH, 13);
  const sequence = { startPosition: 0, numTokens: PROMPT_LENGTH, pageTable: pagesFrom(20, PROMPT_LENGTH) };
  const run = (borders: readonly number[]): Float32Array => {
    const stages = borders
      .slice(1)
      .map((layerEnd, index) => makeStage(module, config, tensors, { layerStart: borders[index] ?? 0, layerEnd }));
    const [head] = stages;
    if (head === undefined) {
      throw new Error('no stage');
    }
    head.embed(tokens);
    const hiddenStates = stages.reduce((incoming, stage) => {
      if (stage !== head) {
        stage.hiddenStates.set(incoming);
      }
      stage.forward([sequence]);
      return stage.hiddenStates.slice();
    }, new Float32Array());
    head.hiddenStates.set(hiddenStates);
    return head.logits([...tokens.keys()]).slice();
  };
  const whole = run([0, config.numLayers]);
  for (const borders of [
    [0, 2, 5],
    [0, 1, 3, 5],
    [0, 1, 2, 3, 4, 5],
    [0, 4, 5],
  ]) {
    expectSameBytes(bytesOf(run(borders)), bytesOf(whole), `layers split at ${borders.join()}`);
  }
}

function expectRangeInvariance(module: WebAssembly.Module, config: ModelConfig): void {
  const tensors = randomTensors(config, 16);
  const numSkipped = 1;
  // Of the stage in the middle: its layers are not counted from the model's first.
  const layers = { layerStart: numSkipped, layerEnd: config.numLayers };
  const runtime = makeStage(module, config, tensors, layers);
  const incoming = Float32Array.from(
    { length: PROMPT_LENGTH * config.hiddenSize },
    (_, index) => Math.sin(index * 0.37) * 2,
  );
  const sequence = { startPosition: 0, numTokens: PROMPT_LENGTH, pageTable: pagesFrom(20, PROMPT_LENGTH) };
  runtime.hiddenStates.set(incoming);
  runtime.forward([sequence]);
  const whole = runtime.hiddenStates.slice(0, incoming.length);

  for (const borders of [
    [1, 2, 5],
    [1, 2, 3, 4, 5],
    [1, 4, 4, 5],
  ]) {
    let hiddenStates = incoming;
    for (const [index, layerEnd] of borders.slice(1).entries()) {
      runtime.hiddenStates.set(hiddenStates);
      runtime.forwardRange([sequence], borders[index] ?? 0, layerEnd);
      hiddenStates = runtime.hiddenStates.slice(0, incoming.length);
      // Another sequence's step on pages of its own leaves nothing that the next range would see.
      runtime.hiddenStates.fill(3);
      runtime.forward([{ startPosition: 0, numTokens: 30, pageTable: pagesFrom(39, 30) }]);
    }
    expectSameBytes(bytesOf(hiddenStates), bytesOf(whole), `ranges between ${borders.join()}`);
  }
}

function expectPageInvariance(module: WebAssembly.Module, config: ModelConfig): void {
  const tokens = randomTokens(config, PROMPT_LENGTH, 14);
  const [runtime, other] = [makeModel(module, config, 14), makeModel(module, config, 14)];
  const table = pagesFrom(30, PROMPT_LENGTH);
  const expected = runChunks(runtime, tokens, PROMPT_LENGTH, table);
  // What earlier owners left in a page must not matter: here, bytes that are NaN where scales are.
  for (let page = 0; page < NUM_PAGES; page++) {
    other.pages.write(page, new Uint8Array(other.pages.pageBytes).fill(0xff));
  }
  const otherTable = [3, 17, 2, 39, 0];
  expectSameBytes(bytesOf(runChunks(other, tokens, 7, otherTable)), bytesOf(expected), 'other pages');

  // Continue on a stage that only got the pages of the first 64 tokens.
  const heir = makeModel(module, config, 14);
  const numCopied = 4;
  const bytes = new Uint8Array(runtime.pages.pageBytes);
  for (const [index, page] of table.slice(0, numCopied).entries()) {
    runtime.pages.read(page, bytes);
    heir.pages.write(10 + index, bytes);
  }
  const start = numCopied * PAGE_SIZE_TOKENS;
  const rest = tokens.slice(start);
  heir.embed(rest);
  heir.forward([{ startPosition: start, numTokens: rest.length, pageTable: [10, 11, 12, 13, 5] }]);
  const logits = heir.logits([...rest.keys()]);
  expectSameBytes(bytesOf(logits), bytesOf(expected.subarray(start * config.vocabSize)), 'copied pages');
}

function expectLogitRowInvariance(module: WebAssembly.Module, config: ModelConfig): void {
  const runtime = makeModel(module, config, 15);
  const tokens = randomTokens(config, PROMPT_LENGTH, 15);
  const whole = runChunks(runtime, tokens, PROMPT_LENGTH, pagesFrom(30, PROMPT_LENGTH));
  const rows = [69, 3, 3, 0, 41];
  const picked = runtime.logits(rows).slice();
  for (const [index, row] of rows.entries()) {
    const { vocabSize } = config;
    const [one, expected] = [
      picked.subarray(index * vocabSize, (index + 1) * vocabSize),
      whole.subarray(row * vocabSize, (row + 1) * vocabSize),
    ];
    expectSameBytes(bytesOf(one), bytesOf(expected), `row ${row}`);
  }
}
