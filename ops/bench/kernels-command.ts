/** `lamina bench kernels`. */
import type { Command } from 'commander';

/** Adds `bench kernels`. */
export function registerKernelsBench(bench: Command): void {
  bench
    .command('kernels')
    .description('multiply-adds and bytes per second of each kernel, beside the memory bandwidth of the same run')
    .action(async () => {
      await import('../../wasm/bench/kernels.ts');
    });
}
