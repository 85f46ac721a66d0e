/** `lamina bench origin`: its flags. */
import type { Command } from 'commander';
import type { OriginBenchFlags } from './origin/command.ts';

/** Adds `bench origin`. */
export function registerOriginBench(bench: Command): void {
  bench
    .command('origin')
    .description('what the gateway adds to a stream of a GPU origin, against asking the origin (llama.cpp) directly')
    .option('--rounds <count>', 'streams through the gateway, and as many without it', '30')
    .option('--tokens <count>', 'tokens of each stream', '48')
    .option('--prompt-words <count>', 'words of the prompt', '8')
    .option('--home <folder>', 'where models and local state lie (LAMINA_HOME; .lamina)')
    .action(async (flags: OriginBenchFlags) => {
      const { originBenchCommand } = await import('./origin/command.ts');
      await originBenchCommand(flags);
    });
}
