/** `lamina origin`: an engine to try things with, and the check that an operator runs against any origin. */
import type { Command } from 'commander';
import { type CheckFlags, checkCommand } from './check-command.ts';
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
  origin
    .command('check')
    .description('see whether a live origin behaves as the gateway needs; run it while nothing else uses the origin')
    .argument('<url>', 'address of the origin, with or without /v1')
    .option('--key <key>', 'API key of the origin')
    .option('--model <name>', "the origin's own name of the model (its first)")
    .option('--burst <count>', 'requests to send at once; more than the origin may queue')
    .option('--drain-command <command>', 'shell command that makes the origin drain, run during a stream')
    .option('--json', 'print the results as JSON')
    .action((url: string, flags: CheckFlags) => checkCommand(url, flags));
}
