/** Names, flags and help of `lamina classify`. */
import type { Command } from 'commander';
import type { ClassifyFlags, RunFlags, TestFlags, TrainFlags } from './commands/classify.ts';

export function registerClassifyCommands(program: Command): void {
  const withServer = (command: Command): Command =>
    command
      .option('--url <url>', 'base URL of the gateway (http://127.0.0.1:$PORT)')
      .option('--key <key>', 'API key', 'sk-local');
  const withColumns = (command: Command): Command =>
    withServer(command)
      .option('--text-column <name>', 'column, or field, of the texts', 'text')
      .option('--label-column <name>', 'column, or field, of the labels', 'label');
  const classify = program.command('classify').description('train classifiers, test them, classify texts');
  withColumns(classify.command('train'))
    .description('train a classifier on examples')
    .argument('<file>', 'CSV with a header, or JSON Lines')
    .option('--name <name>', 'name of the classifier (that of the file)')
    .option('--multi-label', 'a text may have several labels, or none')
    .action(async (file: string, flags: TrainFlags) => {
      const { trainCommand } = await import('./commands/classify.ts');
      await trainCommand(file, flags);
    });
  withColumns(classify.command('test'))
    .description('accuracy, macro-F1, calibration and out-of-scope detection on other examples')
    .argument('<id>', 'id of the classifier')
    .argument('<file>', 'CSV with a header, or JSON Lines')
    .option('--oos-label <label>', 'label of texts that belong to none of the others')
    .option('--oos <file>', 'a file of such texts')
    .option('--plots <folder>', 'write reliability.svg and confusion.svg there')
    .action(async (id: string, file: string, flags: TestFlags) => {
      const { testCommand } = await import('./commands/classify.ts');
      await testCommand(id, file, flags);
    });
  withServer(classify.command('run'))
    .description('classify each line of standard input; one line of JSON for each')
    .argument('[id]', 'id of the classifier')
    .option('--labels <names>', 'labels without a classifier, separated by commas')
    .action(async (id: string | undefined, flags: RunFlags) => {
      const { runCommand } = await import('./commands/classify.ts');
      await runCommand(id, flags);
    });
  withServer(classify.command('list'))
    .description('list the classifiers')
    .action(async (flags: ClassifyFlags) => {
      const { listClassifiersCommand } = await import('./commands/classify.ts');
      await listClassifiersCommand(flags);
    });
  withServer(classify.command('remove'))
    .description('remove a classifier')
    .argument('<id>', 'id of the classifier')
    .action(async (id: string, flags: ClassifyFlags) => {
      const { removeClassifierCommand } = await import('./commands/classify.ts');
      await removeClassifierCommand(id, flags);
    });
}
