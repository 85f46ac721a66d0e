/** `lamina bench plot`. */
import type { Command } from 'commander';

/** Adds `bench plot`. */
export function registerPlotBench(bench: Command): void {
  bench
    .command('plot')
    .description('draw the pictures and write the tables of docs/benchmarks.md from the runs that are kept')
    .action(async () => {
      const { plotCommand } = await import('./plot/command.ts');
      await plotCommand();
    });
}
