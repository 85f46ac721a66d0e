/** `lamina bench engine`: its flags. */
import type { Command } from 'commander';
import type { EngineFlags } from './engine/command.ts';

/** The scenarios; `bench compare` has the same. */
export function withEngineScenarios(command: Command): Command {
  return command
    .option('--prefill <list>', 'prompt lengths whose prefill is measured, in tokens', '128,512,2048')
    .option('--contexts <list>', 'context lengths at which decode is measured', '128,1024,4096')
    .option('--tokens <count>', 'tokens generated for each decode figure', '32')
    .option('--scenario-seconds <count>', 'leave out, for an engine, what would take it longer', '40')
    .option('--home <folder>', 'where models and local state lie (LAMINA_HOME; .lamina)');
}

/** Adds `bench engine`. */
export function registerEngineBench(bench: Command): void {
  withEngineScenarios(
    bench
      .command('engine')
      .description('prefill and decode of the engine alone, against llama.cpp and wllama on one thread, in turn')
      .option('--rounds <count>', 'rounds of each engine', '3')
      .option('--peers <list>', 'llama.cpp, wllama, or none', 'llama.cpp,wllama')
      .option('--keep', 'keep the run where the documentation is made from', false),
  ).action(async (flags: EngineFlags) => {
    const { engineCommand } = await import('./engine/command.ts');
    await engineCommand(flags);
  });
}
