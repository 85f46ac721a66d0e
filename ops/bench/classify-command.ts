/** `lamina bench classify`: its flags. */
import type { Command } from 'commander';
import type { ClassifyFlags } from './classify/command.ts';

/** Adds `bench classify`. */
export function registerClassifyBench(bench: Command): void {
  bench
    .command('classify')
    .description(
      'a text classified against prefilled for chat, 64 texts in one call against 64 calls, and a chat beside 200 calls',
    )
    .option('--key <key>', 'API key', 'sk-local')
    .option('--rounds <count>', 'rounds', '5')
    .option('--calls <count>', 'calls at once beside a chat', '200')
    .option('--keep', 'keep the run where the documentation is made from', false)
    .option('--home <folder>', 'where models and local state lie (LAMINA_HOME; .lamina)')
    .action(async (flags: ClassifyFlags) => {
      const { classifyCommand } = await import('./classify/command.ts');
      await classifyCommand(flags);
    });
}
