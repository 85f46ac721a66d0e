/**
 * Speed of the kernels on one core: multiply-adds and bytes per second, beside the rate at which the same run can read
 * memory, and tokens per second of a model of SmolLM2-135M's shape with random weights. `npx node wasm/bench/kernels.ts`
 */
import { loadKernels } from '../build.ts';
import {
  ARENA_BASE,
  F32_BYTES,
  GROUP_COLS,
  KV_HEAD_BYTES_PER_DIM,
  KV_HEAD_SCALES_BYTES,
  PAGE_TOKENS,
  QD8_GROUP_BYTES,
  QD8_SPLIT_GROUP_BYTES,
} from '../assembly/layout.ts';
import { attentionScratchBytes } from '../host/arena.ts';
import { instantiateKernels } from '../host/kernels.ts';
import type { Kernels } from '../host/kernels.ts';
import { packedBytes } from '../host/pack.ts';
import { randomQb4w, randomQb8w } from '../test/random-model.ts';
import { Random } from '../test/random.ts';
import { secondsPerCall } from './measure.ts';
import { benchModel } from './model.ts';

const SEED = 1;
const GIGA = 1e9;
/** Beyond any cache, so that weights come from memory as in a forward pass. */
const WEIGHTS_BYTES = 96 * 1024 * 1024;
const INPUTS_BYTES = 32 * 1024 * 1024;
const [ROWS, COLS] = [1536, 576];
const NUM_TOKENS = [1, 2, 3, 4, 6, 8, 16, 64];
const ATTENTION_LENGTHS = [128, 1024, 8192];

interface Bench {
  readonly kernels: Kernels;
  readonly memory: WebAssembly.Memory;
  readonly weights: number;
  readonly inputs: number;
}

function makeBench(module: WebAssembly.Module): Bench {
  const numPages = Math.ceil((ARENA_BASE + WEIGHTS_BYTES + INPUTS_BYTES) / 65_536);
  const memory = new WebAssembly.Memory({ initial: numPages, maximum: numPages });
  return {
    memory,
    kernels: instantiateKernels(module, memory),
    inputs: ARENA_BASE,
    weights: ARENA_BASE + INPUTS_BYTES,
  };
}

function report(name: string, seconds: number, multiplyAdds: number, bytes: number): void {
  const rates = [multiplyAdds / seconds / GIGA, bytes / seconds / GIGA].map((rate) => rate.toFixed(1).padStart(8));
  console.log(`${name.padEnd(44)} ${(seconds * 1e6).toFixed(1).padStart(10)} µs ${rates[0]} GMAC/s ${rates[1]} GB/s`);
}

function benchMemory({ kernels, memory, weights }: Bench): void {
  // Pages that were never written are all the same page of zeros.
  new Uint8Array(memory.buffer, weights, WEIGHTS_BYTES).fill(1);
  const seconds = secondsPerCall(() => kernels.memory_read__simd128(weights, WEIGHTS_BYTES));
  report('memory read, 96 MiB', seconds, 0, WEIGHTS_BYTES);
}

function benchGemm(bench: Bench, format: 'qb4w' | 'qb8w'): void {
  const { kernels, memory, weights, inputs } = bench;
  const random = new Random(SEED);
  const matrix = format === 'qb4w' ? randomQb4w(ROWS, COLS, random) : randomQb8w(ROWS, COLS, random);
  const numCopies = Math.floor(WEIGHTS_BYTES / matrix.length);
  for (let copy = 0; copy < numCopies; copy++) {
    new Uint8Array(memory.buffer).set(matrix, weights + copy * matrix.length);
  }
  const kernel = kernels[`qd8_f32_${format}_gemm__simd128`];
  const groupBytes = format === 'qb4w' ? QD8_GROUP_BYTES : QD8_SPLIT_GROUP_BYTES;
  for (const numTokens of NUM_TOKENS) {
    const output = inputs + (numTokens * COLS * groupBytes) / GROUP_COLS;
    const multiplyAdds = numTokens * ROWS * COLS;
    const name = `qd8_f32_${format}_gemm, ${numTokens} tokens`;
    const hot = secondsPerCall(() => kernel(output, inputs, weights, numTokens, ROWS, COLS));
    report(`${name}, in cache`, hot, multiplyAdds, matrix.length);
    let copy = 0;
    const cold = secondsPerCall(() => {
      kernel(output, inputs, weights + copy * matrix.length, numTokens, ROWS, COLS);
      copy = (copy + 1) % numCopies;
    });
    report(`${name}, from memory`, cold, multiplyAdds, packedBytes(format, [ROWS, COLS]));
  }
}

function benchAttention({ kernels, memory, weights: pages, inputs }: Bench): void {
  const [numHeads, headDim] = [3, 64];
  const pageBytes = headDim * KV_HEAD_BYTES_PER_DIM + KV_HEAD_SCALES_BYTES;
  const random = new Random(SEED);
  const queries = new Float32Array(memory.buffer, inputs, numHeads * headDim);
  for (let position = 0; position < Math.max(...ATTENTION_LENGTHS); position++) {
    queries.forEach((_, index) => (queries[index] = random.normal()));
    const page = pages + Math.floor(position / PAGE_TOKENS) * pageBytes;
    const [key, value] = [inputs, inputs + headDim * F32_BYTES];
    kernels.f32_kv8_write__simd128(page, position % PAGE_TOKENS, key, value, headDim);
  }
  for (const length of ATTENTION_LENGTHS) {
    const numPages = Math.ceil(length / PAGE_TOKENS);
    const scratch = inputs + queries.byteLength;
    const pageTable = scratch + attentionScratchBytes(numHeads, headDim);
    const scores = pageTable + numPages * F32_BYTES;
    new Uint32Array(memory.buffer, pageTable, numPages).forEach((_, index, table) => (table[index] = index));
    const seconds = secondsPerCall(() => {
      queries.fill(0.5);
      kernels.f32_kv8_attention__simd128(
        ...([inputs, numHeads, headDim, pages, pageBytes, pageTable, length, 1 / Math.sqrt(headDim)] as const),
        ...([scratch, scores, length] as const),
      );
    });
    const name = `f32_kv8_attention, 3 x 64, length ${length}`;
    report(name, seconds, 2 * numHeads * headDim * length, numPages * pageBytes);
  }
}

function benchVectors({ kernels, memory, inputs }: Bench): void {
  const size = COLS;
  const [weight, output] = [inputs + size * F32_BYTES, inputs + 2 * size * F32_BYTES];
  const bytes = size * F32_BYTES;
  const random = new Random(SEED);
  const values = new Float32Array(memory.buffer, inputs, 3 * size);
  const randomValues = Float32Array.from(values, () => random.normal());
  const refill = (): void => values.set(randomValues);
  const runs: Record<string, () => void> = {
    f32_rms_norm: () => kernels.f32_rms_norm__simd128(output, inputs, weight, size, 1e-5),
    f32_qd8_quantise: () => kernels.f32_qd8_quantise__simd128(output, inputs, size),
    f32_swiglu: () => kernels.f32_swiglu__simd128(output, weight, size),
    f32_add: () => kernels.f32_add__simd128(output, inputs, size),
    f32_rope: () => kernels.f32_rope__simd128(output, inputs, size / 64, 64),
    f32_kv8_write: () => kernels.f32_kv8_write__simd128(output, 5, inputs, weight, 64),
  };
  for (const [name, run] of Object.entries(runs)) {
    const seconds = secondsPerCall(() => {
      // Kernels that work in place would soon shrink their input to subnormal numbers, which are slow.
      refill();
      run();
    });
    report(`${name}, ${size} elements`, seconds, 0, bytes);
  }
}

const module = await loadKernels();
const bench = makeBench(module);
new Float32Array(bench.memory.buffer, bench.inputs, INPUTS_BYTES / F32_BYTES).fill(0.25);
benchMemory(bench);
benchGemm(bench, 'qb4w');
benchGemm(bench, 'qb8w');
benchMemory(bench);
benchAttention(bench);
benchVectors(bench);
benchModel(module);
