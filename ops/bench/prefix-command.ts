/** `lamina bench prefix`: its flags. */
import type { Command } from 'commander';
import type { PrefixFlags } from './prefix/command.ts';

/** Adds `bench prefix`. */
export function registerPrefixBench(bench: Command): void {
  bench
    .command('prefix')
    .description('a long system prompt: its first request, its second, and one after a restart of the runtime')
    .option('--key <key>', 'API key', 'sk-local')
    .option('--rounds <count>', 'rounds, each with a prompt and a restart of its own', '5')
    .option('--prompt-words <count>', 'words of the system prompt', '1000')
    .option('--keep', 'keep the run where the documentation is made from', false)
    .option('--home <folder>', 'where models lie (LAMINA_HOME; .lamina)')
    .action(async (flags: PrefixFlags) => {
      const { prefixCommand } = await import('./prefix/command.ts');
      await prefixCommand(flags);
    });
}
