/** `lamina bench kernels`: its flags. */
import type { Command } from 'commander';
import type { KernelsFlags } from './kernels/command.ts';

/** Adds `bench kernels`. */
export function registerKernelsBench(bench: Command): void {
  bench
    .command('kernels')
    .description('multiply-adds and bytes per second of each kernel in Node and in workerd, beside reading memory')
    .option('--rounds <count>', 'rounds of each runtime', '5')
    .option('--filter <text>', 'only cases whose name contains this', '')
    .option('--keep', 'keep the run where the documentation is made from', false)
    .action(async (flags: KernelsFlags) => {
      const { kernelsCommand } = await import('./kernels/command.ts');
      await kernelsCommand(flags);
    });
}
