/** `lamina convert`: a model file to stage files. */
import path from 'node:path';
import { convertOnce } from '../../dev/prepare.ts';
import { obtainModelFile } from '../../models/model-file.ts';
import { withLock } from '../../support/lock.ts';
import { commandContext } from '../context.ts';

export async function convertCommand(
  file: string | undefined,
  flags: { readonly home?: string; readonly out?: string },
): Promise<void> {
  const context = commandContext(flags);
  const env = file === undefined ? context.env : { ...context.env, LAMINA_MODEL_FILE: path.resolve(file) };
  const { home } = context;
  await withLock(home.prepareLock, `preparing a model under ${home.root}`, async () => {
    const model = await obtainModelFile(undefined, { ...context, env });
    const outFolder = flags.out === undefined ? undefined : path.resolve(flags.out);
    context.print(await convertOnce(model, context, outFolder));
  });
}
