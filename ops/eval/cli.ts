/** `lamina eval`: names, flags and help. What the command does is in `quality-command.ts`. */
import type { Command } from 'commander';
import type { FeaturesFlags } from './features-command.ts';
import type { QualityFlags } from './quality-command.ts';
import type { ZeroShotFlags } from './zero-shot-command.ts';

/** Mounts `lamina eval` on the command line. */
export function registerEvalCommands(program: Command): void {
  const evaluation = program.command('eval').description('measure how good the answers are');
  evaluation
    .command('quality')
    .description('perplexity, KL divergence and top-1 agreement against a float32 reference, on a text of yours')
    .requiredOption('--text <file>', 'text to predict, UTF-8')
    .option('--windows <count>', 'windows of the text, from its start', '12')
    .option('--window-tokens <tokens>', 'length of a window; each one starts at position 0', '512')
    .option('--model <name>', 'model of the registry, or a GGUF file (LAMINA_MODEL_FILE, or the default model)')
    .option('--url <url>', 'measure the perplexity of a running server of that model instead of the kernels here')
    .option('--key <key>', 'API key of that server', 'sk-local')
    .option('--json', 'print the figures as JSON')
    .option('--home <folder>', 'where models, build outputs and local state lie (LAMINA_HOME; .lamina)')
    .action(async (flags: QualityFlags) => {
      const { qualityCommand } = await import('./quality-command.ts');
      await qualityCommand(flags);
    });
  evaluation
    .command('zero-shot')
    .description('labels alone, and with a few examples, beside asking for the label in a chat; on a running platform')
    .requiredOption('--texts <file>', 'texts with labels, CSV with a header or JSON Lines')
    .option('--examples <file>', 'where examples come from, of the same form')
    .option('--shots <list>', 'examples of each label, such as 0,1,2,5', '0')
    .option('--count <texts>', 'texts, taken evenly from the file', '220')
    .option('--text-column <name>', 'column, or field, of the texts', 'text')
    .option('--label-column <name>', 'column, or field, of the labels', 'label')
    .option('--model <name>', 'model that is asked in the chat', 'lamina-lite')
    .option('--url <url>', 'base URL of the platform (http://127.0.0.1:$PORT)')
    .option('--key <key>', 'API key', 'sk-local')
    .action(async (flags: ZeroShotFlags) => {
      const { zeroShotCommand } = await import('./zero-shot-command.ts');
      await zeroShotCommand(flags);
    });
  evaluation
    .command('features')
    .description('features of texts, as classifiers get them, in a file for other programs')
    .requiredOption('--texts <file>', 'one JSON object a line: {"text": "…", "label": "…"}')
    .requiredOption('--out <folder>', 'where features.f32, features.json and labels.json go')
    .option('--parts <list>', 'layers and poolings, such as 1:mean,6:max (what is served)')
    .option('--model <name>', 'model of the registry, or a GGUF file (LAMINA_MODEL_FILE, or the default model)')
    .option('--home <folder>', 'where models, build outputs and local state lie (LAMINA_HOME; .lamina)')
    .action(async (flags: FeaturesFlags) => {
      const { featuresCommand } = await import('./features-command.ts');
      await featuresCommand(flags);
    });
}
