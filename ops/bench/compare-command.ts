/** `lamina bench compare`: its flags. */
import type { Command } from 'commander';
import type { CompareFlags } from './compare/command.ts';

/** Adds `bench compare`. */
export function registerCompareBench(bench: Command): void {
  bench
    .command('compare')
    .description('this tree against a git revision, in fresh processes, in reversed order every other round')
    .argument('<revision>', 'commit, branch or tag')
    .option('--what <part>', 'engine, serve or both', 'engine')
    .option('--rounds <count>', 'rounds of each tree', '5')
    .option('--prefill <list>', 'engine: prompt lengths whose prefill is measured, in tokens', '128,512')
    .option('--contexts <list>', 'engine: context lengths at which decode is measured', '128,1024')
    .option('--tokens <count>', 'tokens generated for each decode figure', '48')
    .option('--scenario-seconds <count>', 'engine: leave out what would take longer', '40')
    .option('--streams <list>', 'serve: numbers of concurrent streams', '1,4,8')
    .option('--prompt-words <count>', 'serve: words of the long prompt', '400')
    .option('--home <folder>', 'where models and local state lie (LAMINA_HOME; .lamina)')
    .action(async (revision: string, flags: CompareFlags) => {
      const { compareCommand } = await import('./compare/command.ts');
      await compareCommand(revision, flags);
    });
}
