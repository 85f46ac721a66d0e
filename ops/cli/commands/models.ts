/** `lamina models list` and `lamina models fetch`. */
import { fetchModel, isFetched } from '../../models/fetch.ts';
import { requireModel } from '../../models/model-file.ts';
import { DEFAULT_MODEL_NAME, describeSource, MODELS } from '../../models/registry.ts';
import { formatBytes, formatTable } from '../../support/format.ts';
import { commandContext } from '../context.ts';

export async function listModelsCommand(flags: { readonly home?: string }): Promise<void> {
  const { home, paint, print } = commandContext(flags);
  const rows = await Promise.all(
    MODELS.map(async (model) => [
      model.name + (model.name === DEFAULT_MODEL_NAME ? ' (default)' : ''),
      model.title,
      formatBytes(model.bytes),
      model.licence,
      (await isFetched(home, model)) ? 'yes' : 'no',
    ]),
  );
  const [header = '', ...lines] = formatTable(
    [
      { title: 'name', align: 'left' },
      { title: 'model', align: 'left' },
      { title: 'size', align: 'right' },
      { title: 'licence', align: 'left' },
      { title: 'here', align: 'left' },
    ],
    rows,
  );
  print(paint('bold', header));
  lines.forEach((line) => print(line));
  print();
  for (const model of MODELS) {
    print(paint('dim', `${model.name}: sha256 ${model.sha256}`));
    model.sources.forEach((source, index) => print(paint('dim', `  ${index + 1}. ${describeSource(source)}`)));
  }
}

export async function fetchModelCommand(name: string | undefined, flags: { readonly home?: string }): Promise<void> {
  const context = commandContext(flags);
  context.print(await fetchModel(requireModel(name ?? DEFAULT_MODEL_NAME), context));
}
