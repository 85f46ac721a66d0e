/** `lamina bench start`: its flags. */
import type { Command } from 'commander';
import type { StartFlags } from './start/command.ts';

/** Adds `bench start`. */
export function registerStartBench(bench: Command): void {
  bench
    .command('start')
    .description('a cold start: from nothing to the first token, whole and in parts, in 1 process and in 2')
    .option('--rounds <count>', 'rounds, each with two starts of either', '5')
    .option('--stages <count>', 'stages of the ring', '2')
    .option('--keep', 'keep the run where the documentation is made from', false)
    .option('--home <folder>', 'where models lie (LAMINA_HOME; .lamina)')
    .action(async (flags: StartFlags) => {
      const { startCommand } = await import('./start/command.ts');
      await startCommand(flags);
    });
}
