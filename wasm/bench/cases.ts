/** What the bench of the kernels times. No clock here, so that the same cases run in Node and in workerd. */
import {
  ARENA_BASE,
  F32_BYTES,
  GROUP_COLS,
  PAGE_TOKENS,
  QD8_GROUP_BYTES,
  QD8_SPLIT_GROUP_BYTES,
} from '../assembly/layout.ts';
import { attentionScratchBytes, pagePartBytes } from '../host/arena.ts';
import { f32ToF16 } from '../host/f16.ts';
import { instantiateKernels } from '../host/kernels.ts';
import type { Kernels } from '../host/kernels.ts';
import { LinearWorkspace } from '../host/linear-workspace.ts';
import { packedBytes } from '../host/pack.ts';
import { randomQb4w, randomQb8w } from '../test/random-model.ts';
import { Random } from '../test/random.ts';

const SEED = 1;
/** Beyond any cache, so that weights come from memory as in a forward pass. */
const WEIGHTS_BYTES = 96 * 1024 * 1024;
const INPUTS_BYTES = 32 * 1024 * 1024;
const [ROWS, COLS] = [1536, 576];
const NUM_TOKENS = [1, 2, 3, 4, 6, 8, 16, 64];
/** A classifier: labels, features of a text and texts in a batch, as they are trained. */
const [NUM_LABELS, FEATURE_SIZE, PART_SIZE, BATCH_ROWS] = [150, 2304, 576, 64];
const ATTENTION_LENGTHS = [128, 1024, 8192];

/** One thing to time. It is valid until the next one is taken: they share their memory. */
export interface KernelCase {
  readonly name: string;
  /** Of one call; 0 where they are not the point. */
  readonly multiplyAdds: number;
  /** Bytes of one call that come from memory or a cache. */
  readonly bytes: number;
  readonly run: () => void;
}

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

function* memoryCases({ kernels, memory, weights }: Bench): Generator<KernelCase> {
  // Pages that were never written are all the same page of zeros.
  new Uint8Array(memory.buffer, weights, WEIGHTS_BYTES).fill(1);
  const run = (): void => void kernels.memory_read__simd128(weights, WEIGHTS_BYTES);
  yield { name: 'memory read, 96 MiB', multiplyAdds: 0, bytes: WEIGHTS_BYTES, run };
}

function* gemmCases(bench: Bench, format: 'qb4w' | 'qb8w'): Generator<KernelCase> {
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
    const decoded = output + numTokens * ROWS * F32_BYTES;
    const multiplyAdds = numTokens * ROWS * COLS;
    const name = `qd8_f32_${format}_gemm, ${numTokens} tokens`;
    const hot = (): void => kernel(output, inputs, weights, numTokens, ROWS, COLS, decoded);
    yield { name: `${name}, in cache`, multiplyAdds, bytes: matrix.length, run: hot };
    let copy = 0;
    const cold = (): void => {
      kernel(output, inputs, weights + copy * matrix.length, numTokens, ROWS, COLS, decoded);
      copy = (copy + 1) % numCopies;
    };
    yield { name: `${name}, from memory`, multiplyAdds, bytes: packedBytes(format, [ROWS, COLS]), run: cold };
  }
}

function* attentionCases({ kernels, memory, weights: pages, inputs }: Bench): Generator<KernelCase> {
  const [numHeads, headDim] = [3, 64];
  const partBytes = pagePartBytes(headDim);
  const valuePages = pages + (Math.max(...ATTENTION_LENGTHS) / PAGE_TOKENS) * partBytes;
  const random = new Random(SEED);
  const queries = new Float32Array(memory.buffer, inputs, numHeads * headDim);
  for (let position = 0; position < Math.max(...ATTENTION_LENGTHS); position++) {
    queries.forEach((_, index) => (queries[index] = random.normal()));
    const offset = Math.floor(position / PAGE_TOKENS) * partBytes;
    const [key, value] = [inputs, inputs + headDim * F32_BYTES];
    kernels.f32_kv8_write__simd128(pages + offset, valuePages + offset, position % PAGE_TOKENS, key, value, headDim);
  }
  for (const length of ATTENTION_LENGTHS) {
    const numPages = Math.ceil(length / PAGE_TOKENS);
    const scratch = inputs + queries.byteLength;
    const pageTable = scratch + attentionScratchBytes(numHeads, headDim);
    const scores = pageTable + numPages * F32_BYTES;
    new Uint32Array(memory.buffer, pageTable, numPages).forEach((_, index, table) => (table[index] = index));
    const run = (): void => {
      queries.fill(0.5);
      kernels.f32_kv8_attention__simd128(
        ...([inputs, numHeads, headDim, pages, valuePages, pageTable, length, 1 / Math.sqrt(headDim)] as const),
        ...([scratch, scores, length] as const),
      );
    };
    const name = `f32_kv8_attention, 3 x 64, length ${length}`;
    yield { name, multiplyAdds: 2 * numHeads * headDim * length, bytes: 2 * numPages * partBytes, run };
  }
}

function* vectorCases({ kernels, memory, inputs }: Bench): Generator<KernelCase> {
  const size = COLS;
  const [weight, output] = [inputs + size * F32_BYTES, inputs + 2 * size * F32_BYTES];
  const bytes = size * F32_BYTES;
  const random = new Random(SEED);
  const values = new Float32Array(memory.buffer, inputs, 3 * size);
  const randomValues = Float32Array.from(values, () => random.normal());
  const refill = (): void => values.set(randomValues);
  const runs: Record<string, () => void> = {
    f32_rms_norm: () => kernels.f32_rms_norm__simd128(output, inputs, weight, size, 1e-5),
    f32_qd8_quantise: () => kernels.f32_qd8_quantise__simd128(output, inputs, 1, size),
    f32_swiglu: () => kernels.f32_swiglu__simd128(output, weight, size),
    f32_add: () => kernels.f32_add__simd128(output, inputs, size),
    f32_rope: () => kernels.f32_rope__simd128(output, inputs, size / 64, 64),
    f32_kv8_write: () => kernels.f32_kv8_write__simd128(output, output + pagePartBytes(64), 5, inputs, weight, 64),
  };
  for (const [name, kernel] of Object.entries(runs)) {
    const run = (): void => {
      // Kernels that work in place would soon shrink their input to subnormal numbers, which are slow.
      refill();
      kernel();
    };
    yield { name: `${name}, ${size} elements`, multiplyAdds: 0, bytes, run };
  }
}

function* linearCases(module: WebAssembly.Module): Generator<KernelCase> {
  const shape = { numLabels: NUM_LABELS, featureSize: FEATURE_SIZE, partSize: PART_SIZE, batchRowsMax: BATCH_ROWS };
  const workspace = new LinearWorkspace(module, shape);
  const random = new Random(SEED);
  workspace.scales.fill(1);
  workspace.features.forEach((_, index) => (workspace.features[index] = f32ToF16(random.normal())));
  const bytes = workspace.weights.byteLength;
  const multiplyAdds = BATCH_ROWS * NUM_LABELS * FEATURE_SIZE;
  const standardise = (): void => workspace.standardise(BATCH_ROWS);
  yield {
    name: `f16_f32_standardise, ${BATCH_ROWS} texts`,
    multiplyAdds: 0,
    bytes: workspace.features.byteLength,
    run: standardise,
  };
  yield {
    name: `f32_f32_f32_gemm, ${BATCH_ROWS} texts`,
    multiplyAdds,
    bytes,
    run: () => workspace.computeLogits(BATCH_ROWS),
  };
  // The weights are still zeros, so are the residuals: the gradient stays finite however often this runs.
  yield {
    name: `f32_f32_f32_outer, ${BATCH_ROWS} texts`,
    multiplyAdds,
    bytes: 2 * bytes,
    run: () => workspace.addGradient(BATCH_ROWS),
  };
}

/** Every case, one after the other; the memory is read before and after the matrix products. */
export function* kernelCases(module: WebAssembly.Module): Generator<KernelCase> {
  const bench = makeBench(module);
  new Float32Array(bench.memory.buffer, bench.inputs, INPUTS_BYTES / F32_BYTES).fill(0.25);
  yield* memoryCases(bench);
  yield* gemmCases(bench, 'qb4w');
  yield* gemmCases(bench, 'qb8w');
  yield* memoryCases(bench);
  yield* attentionCases(bench);
  yield* vectorCases(bench);
  yield* linearCases(module);
}
