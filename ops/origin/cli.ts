/** `lamina origin`: an engine to try things with, and the check that an operator runs against any origin. */
import type { Command } from 'commander';
import { DEFAULT_ORIGIN_PORT, type UpFlags, upCommand } from './up-command.ts';

/** Adds `origin up` and `origin check`. */
export function registerOriginCommands(program: Command): void {
  const origin = program.command('origin').description('GPU origins: start a stand-in, check a live one');
  origin
    .command('up')
    .description("start llama.cpp's OpenAI server on this machine, as the stand-in for a GPU origin")
    .option('--model <name>', 'model of the registry (LAMINA_MODEL_FILE, or the default model)')
    .option('--port <port>', 'port to listen on, 0 for a free one', DEFAULT_ORIGIN_PORT)
    .option('--slots <count>', 'sequences generated at the same time', '4')
    .option('--context <tokens>', 'tokens that one sequence may have', '4096')
    .option('--threads <count>', 'threads of the engine (as many as there are cores)')
    .option('--key <key>', 'API key to demand (none)')
    .option('--home <folder>', 'where models and environments lie (LAMINA_HOME; .lamina)')
    .action((flags: UpFlags) => upCommand(flags));
}
