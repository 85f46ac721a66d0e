/** The command line of `lamina`: names, flags and help. What a command does is in `commands/`. */
import { Command, CommanderError } from 'commander';
import { registerBenchCommands } from '../bench/cli.ts';
import { registerClassifyCommands } from './classify-commands.ts';
import { registerEvalCommands } from '../eval/cli.ts';
import { registerOriginCommands } from '../origin/cli.ts';
import { messageOf, OperatorError } from '../support/operator-error.ts';
import type { ChatFlags } from './commands/chat.ts';
import type { DeployFlags } from './commands/deploy.ts';
import type { DevFlags } from './commands/dev.ts';
import type { ReplicaFlags, ReplicasFlags } from './commands/replicas.ts';
import type { PlanFlags } from './plan-flags.ts';
import { painter } from './ui/style.ts';

const EXIT_FAILURE = 1;
const EXIT_USAGE = 2;

interface HomeFlags {
  readonly home?: string;
}

/** Every command knows where state lies. */
function withHome(command: Command): Command {
  return command.option('--home <folder>', 'where models, build outputs and local state lie (LAMINA_HOME; .lamina)');
}

/** Values of a flag that may be repeated. */
function collect(value: string, before: readonly string[] = []): string[] {
  return [...before, value];
}

function withPlan(command: Command): Command {
  return withHome(command)
    .option('--context <tokens>', "longest sequence to serve (the model's own context)")
    .option('--kv-tokens <tokens>', 'tokens of KV cache that must fit (one sequence of the full context)')
    .option('--stages <count>', 'exactly this many stages (the fewest that fit)');
}

function buildProgram(): Command {
  const program = new Command('lamina')
    .description('A chat-LLM platform on Cloudflare Workers: run it here, look at it, deploy it.')
    .showHelpAfterError('(add --help for the flags)')
    .configureOutput({ outputError: (text, write) => write(painter(process.stderr)('red', text)) });

  withPlan(program.command('dev'))
    .description('start the platform on this machine; prepares whatever is missing')
    .option('--port <port>', 'port to listen on, 0 for a free one (PORT; 8787)')
    .option('--model <name>', 'model of the registry (LAMINA_MODEL_FILE, or the default model)')
    .option('--origin <url>', 'GPU origin that serves the pro model; may be repeated', collect)
    .option('--origin-key <key>', 'API key of the origin; once for all, or once for each', collect)
    .option('--origin-model <name>', "the origin's own name of the model (its first)", collect)
    .option('--replicas <count>', 'rings of the model, each with stages of its own', '1')
    .option(
      '--processes <count>',
      'processes of the runtime that share the stages of all replicas, which then compute side by side',
      '1',
    )
    .option('--clean-state', 'forget what the objects of earlier starts have kept: pages, runs, prefixes')
    .option('--isolate-mib <MiB>', 'memory of an isolate to plan for; more than the default cannot be deployed (128)')
    .action(async (flags: DevFlags) => {
      const { devCommand } = await import('./commands/dev.ts');
      await devCommand(flags);
    });
  withPlan(program.command('setup'))
    .description('fetch the model, build the kernels, convert and plan: everything that dev needs')
    .option('--model <name>', 'model of the registry (LAMINA_MODEL_FILE, or the default model)')
    .action(async (flags: PlanFlags & HomeFlags & { model?: string }) => {
      const { setupCommand } = await import('./commands/setup.ts');
      await setupCommand(flags);
    });
  withHome(program.command('chat'))
    .description('chat in the terminal with any server that speaks the OpenAI API')
    .option('--url <url>', 'base URL of the server (http://127.0.0.1:$PORT)')
    .option('--key <key>', 'API key', 'sk-local')
    .option('--model <name>', "model to ask for (the server's first)")
    .option('--temperature <number>', "how freely to choose words, 0 to 2 (the model's own)")
    .option('--system <text>', 'system message')
    .option('--message <text>', 'ask this one thing, print the answer and end')
    .action(async (flags: ChatFlags) => {
      const { chatCommand } = await import('./commands/chat.ts');
      await chatCommand(flags);
    });
  registerClassifyCommands(program);
  addReplicaCommands(program);
  addModelCommands(program);
  registerBenchCommands(program);
  registerEvalCommands(program);
  registerOriginCommands(program);
  return program;
}

function addReplicaCommands(program: Command): void {
  const withServer = (command: Command): Command =>
    withHome(command)
      .option('--url <url>', 'base URL of the gateway (http://127.0.0.1:$PORT)')
      .option('--key <key>', "an operator's key (LAMINA_ADMIN_KEY; sk-local-admin)");
  const withModel = (command: Command): Command =>
    withServer(command)
      .argument('<index>', 'number of the replica, from 0')
      .option('--model <name>', 'model that it serves (lamina-lite)');
  const replicas = program.command('replicas').description('replicas of a running platform');
  withServer(replicas.command('list'))
    .description('show what each replica does')
    .action(async (flags: ReplicasFlags) => {
      const { listReplicasCommand } = await import('./commands/replicas.ts');
      await listReplicasCommand(flags);
    });
  withModel(replicas.command('drain'))
    .description('send nothing new to a replica, and wait until it has finished: before it is deployed anew')
    .action(async (index: string, flags: ReplicaFlags) => {
      const { drainReplicaCommand } = await import('./commands/replicas.ts');
      await drainReplicaCommand(index, flags);
    });
  withModel(replicas.command('resume'))
    .description('let a drained replica take requests again')
    .action(async (index: string, flags: ReplicaFlags) => {
      const { resumeReplicaCommand } = await import('./commands/replicas.ts');
      await resumeReplicaCommand(index, flags);
    });
}

function addModelCommands(program: Command): void {
  const models = program.command('models').description('models of the registry');
  withHome(models.command('list'))
    .description('list the models, their licences and whether they are here')
    .action(async (flags: HomeFlags) => {
      const { listModelsCommand } = await import('./commands/models.ts');
      await listModelsCommand(flags);
    });
  withHome(models.command('fetch'))
    .description('download and verify a model')
    .argument('[name]', 'name of the model (the default model)')
    .action(async (name: string | undefined, flags: HomeFlags) => {
      const { fetchModelCommand } = await import('./commands/models.ts');
      await fetchModelCommand(name, flags);
    });
  withHome(program.command('convert'))
    .description('convert a model file to stage files')
    .argument('[file]', 'GGUF file (LAMINA_MODEL_FILE, or the default model)')
    .option('--out <folder>', 'where to write (a folder under LAMINA_HOME)')
    .action(async (file: string | undefined, flags: HomeFlags & { out?: string }) => {
      const { convertCommand } = await import('./commands/convert.ts');
      await convertCommand(file, flags);
    });
  withPlan(program.command('plan'))
    .description('show how a model is split into stages, with the arithmetic')
    .option('--model <name>', 'model of the registry (LAMINA_MODEL_FILE, or the default model)')
    .option('--replicas <count>', 'rings of the model, for the sums', '1')
    .option('--json', 'print the plan as JSON')
    .action(async (flags: PlanFlags & HomeFlags & { model?: string; replicas?: string; json?: boolean }) => {
      const { planCommand } = await import('./commands/plan.ts');
      await planCommand(flags);
    });
  withPlan(program.command('deploy'))
    .description('write the configurations of the deployed platform, check them, and deploy them')
    .option('--model <name>', 'model of the registry (LAMINA_MODEL_FILE, or the default model)')
    .option('--out <folder>', 'where to write the configurations (a folder under LAMINA_HOME)')
    .option('--replicas <count>', 'rings of the model, each with scripts of its own', '1')
    .option('--cors-origin <origin>', 'web origin whose pages may call the API; may be repeated', collect)
    .option('--origins <file>', 'GPU origins and their bindings, JSON; docs/origins.md describes it')
    .option('--dry-run', 'bundle and check every script, upload nothing')
    .option('--url <url>', 'base URL of the gateway that is deployed, by which replicas are drained one by one')
    .option('--key <key>', "an operator's key (LAMINA_ADMIN_KEY)")
    .option('--drain', 'drain each replica before its stages are deployed (when --url is given)')
    .option('--no-drain', 'do not: streams pause while their replica is replaced')
    .action(async (flags: DeployFlags) => {
      const { deployCommand } = await import('./commands/deploy.ts');
      await deployCommand(flags);
    });
}

/** Commander ends the process itself unless every command is told not to. */
function exitByThrowing(command: Command): void {
  command.exitOverride();
  command.commands.forEach(exitByThrowing);
}

/** One clear line, then what to do. The stack is for those who ask for it. */
function reportError(error: unknown): number {
  const paint = painter(process.stderr);
  if (error instanceof CommanderError) {
    // Commander has printed its message, or the help that was asked for.
    return error.exitCode === 0 ? 0 : EXIT_USAGE;
  }
  process.stderr.write(`${paint('red', 'error')} ${messageOf(error)}\n`);
  if (error instanceof OperatorError && error.hint !== null) {
    process.stderr.write(`${error.hint}\n`);
  }
  if ((process.env['LAMINA_DEBUG'] ?? '') !== '') {
    process.stderr.write(`${paint('dim', error instanceof Error ? (error.stack ?? '') : String(error))}\n`);
  } else if (!(error instanceof OperatorError)) {
    process.stderr.write('This should not happen. Run the command again with LAMINA_DEBUG=1 to see where.\n');
  }
  return error instanceof OperatorError && error.code === 'usage' ? EXIT_USAGE : EXIT_FAILURE;
}

/** Runs the command line and sets the exit code. */
export async function main(argv: readonly string[]): Promise<void> {
  // Whoever reads our output may have seen enough (`lamina plan | head`): that is no failure.
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code === 'EPIPE') {
      process.exit(0);
    }
    throw error;
  });
  const program = buildProgram();
  exitByThrowing(program);
  try {
    await program.parseAsync([...argv]);
  } catch (error) {
    process.exitCode = reportError(error);
  }
}
