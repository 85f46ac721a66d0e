/** A memory to try kernels in: buffers with guard bytes on both sides, and both variants of a kernel on equal inputs. */
import { expect } from 'vitest';
import { ARENA_BASE, F32_BYTES } from '../assembly/layout.ts';
import { instantiateKernels } from '../host/kernels.ts';
import type { KernelName, Kernels, KernelSignatures, KernelVariant } from '../host/kernels.ts';

const MEMORY_WASM_PAGES = 64;
const GUARD_BYTES = 64;
const GUARD = 0xa5;
/** Outputs start with this, so that a kernel which writes nothing is seen. */
const UNWRITTEN = 0x5a;
const ALIGNMENT_BYTES = 16;
export const VARIANTS: readonly KernelVariant[] = ['simd128', 'scalar'];

/** Half a unit in the last place of 1 in f32: the relative error of one operation. */
export const F32_EPSILON = 2 ** -24;

export interface Buffer {
  readonly address: number;
  readonly bytes: number;
}

export class KernelBench {
  readonly kernels: Kernels;
  readonly #memory: WebAssembly.Memory;
  readonly #buffers: Buffer[] = [];
  #end = ARENA_BASE;

  constructor(module: WebAssembly.Module) {
    this.#memory = new WebAssembly.Memory({ initial: MEMORY_WASM_PAGES, maximum: MEMORY_WASM_PAGES });
    this.kernels = instantiateKernels(module, this.#memory);
  }

  /** The kernel of that name in the variant. */
  kernel<Name extends KernelName>(name: Name, variant: KernelVariant): KernelSignatures[Name] {
    return this.kernels[`${name}__${variant}`] as unknown as KernelSignatures[Name];
  }

  /** A buffer of `bytes` between guards, not initialised to anything a kernel could mistake for a result. */
  output(bytes: number): Buffer {
    const address = Math.ceil((this.#end + GUARD_BYTES) / ALIGNMENT_BYTES) * ALIGNMENT_BYTES;
    this.#end = address + bytes + GUARD_BYTES;
    expect(this.#end, 'the bench is full').toBeLessThan(this.#memory.buffer.byteLength);
    this.#view(address - GUARD_BYTES, GUARD_BYTES).fill(GUARD);
    this.#view(address, bytes).fill(UNWRITTEN);
    this.#view(address + bytes, GUARD_BYTES).fill(GUARD);
    const buffer = { address, bytes };
    this.#buffers.push(buffer);
    return buffer;
  }

  /** A guarded buffer that holds `contents`. */
  input(contents: ArrayBufferView): Buffer {
    const buffer = this.output(contents.byteLength);
    this.bytes(buffer).set(new Uint8Array(contents.buffer, contents.byteOffset, contents.byteLength));
    return buffer;
  }

  bytes(buffer: Buffer): Uint8Array<ArrayBuffer> {
    return this.#view(buffer.address, buffer.bytes);
  }

  floats(buffer: Buffer): Float32Array<ArrayBuffer> {
    return new Float32Array(this.#memory.buffer, buffer.address, buffer.bytes / F32_BYTES);
  }

  /** Fails when a byte beside any buffer was written. */
  expectGuardsIntact(message: string): void {
    for (const { address, bytes } of this.#buffers) {
      for (const start of [address - GUARD_BYTES, address + bytes]) {
        const touched = this.#view(start, GUARD_BYTES).findIndex((byte) => byte !== GUARD);
        expect(touched, `${message}: wrote beside the buffer at ${address}, guard at ${start}`).toBe(-1);
      }
    }
  }

  #view(address: number, bytes: number): Uint8Array<ArrayBuffer> {
    return new Uint8Array(this.#memory.buffer, address, bytes);
  }
}

/**
 * Runs both variants of a kernel into outputs of their own, and expects the same bits and intact guards.
 * @param prepare what each output holds before, for kernels that work in place
 * @returns the bench and the output that both agree on
 */
export function runVariants<Name extends KernelName>(
  bench: KernelBench,
  name: Name,
  prepare: ArrayBufferView | number,
  run: (kernel: KernelSignatures[Name], output: number) => void,
  message: string,
): Buffer {
  const outputs = VARIANTS.map((variant) => {
    const output = typeof prepare === 'number' ? bench.output(prepare) : bench.input(prepare);
    run(bench.kernel(name, variant), output.address);
    return output;
  });
  const [simd, scalar] = outputs;
  if (simd === undefined || scalar === undefined) {
    throw new Error('two variants');
  }
  expectSameBytes(bench.bytes(simd), bench.bytes(scalar), `${message}: simd128 against scalar`);
  bench.expectGuardsIntact(message);
  return simd;
}

export function expectSameBytes(actual: Uint8Array, expected: Uint8Array, message: string): void {
  expect(actual.length, message).toBe(expected.length);
  const index = actual.findIndex((byte, at) => byte !== expected[at]);
  expect(index, `${message}: first difference at byte ${index}`).toBe(-1);
}

/** Expects every element within its own tolerance; fails with the index, both values and the tolerance. */
export function expectClose(
  actual: ArrayLike<number>,
  expected: ArrayLike<number>,
  tolerance: (index: number) => number,
  message: string,
): void {
  expect(actual.length, message).toBe(expected.length);
  for (let index = 0; index < expected.length; index++) {
    const [got, want, limit] = [actual[index] ?? NaN, expected[index] ?? NaN, tolerance(index)];
    if (Math.abs(got - want) <= limit) {
      continue;
    }
    expect.fail(`${message}: element ${index} is ${got}, expected ${want} within ${limit}`);
  }
}

/** Distinct values that long inputs must have; bytes have no more than 256. */
const NUM_DISTINCT_MIN = 100;

/** Guards against tests on constant inputs, which many wrong kernels would pass. */
export function expectVaried(values: ArrayLike<number>, message: string): void {
  const numDistinctMin = Math.min(values.length / 8, NUM_DISTINCT_MIN);
  expect(new Set(Array.from(values)).size, `${message}: too few distinct values`).toBeGreaterThan(numDistinctMin);
}
