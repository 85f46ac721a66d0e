/** `lamina bench speculation`: its flags. */
import type { Command } from 'commander';
import type { SpeculationFlags } from './speculation/command.ts';

/** Adds `bench speculation`. */
export function registerSpeculationBench(bench: Command): void {
  bench
    .command('speculation')
    .description('decode with and without draft tokens, on quotations and on ordinary chats; the answers must be equal')
    .option('--rounds <count>', 'rounds after a first one that warms up', '5')
    .option('--tokens <count>', 'most tokens of an answer', '128')
    .option('--keep', 'keep the run where the documentation is made from', false)
    .option('--home <folder>', 'where models and build outputs lie (LAMINA_HOME; .lamina)')
    .action(async (flags: SpeculationFlags) => {
      const { speculationCommand } = await import('./speculation/command.ts');
      await speculationCommand(flags);
    });
}
