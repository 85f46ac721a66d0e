/** Which model file is used: the one that `LAMINA_MODEL_FILE` names, or one of the registry. */
import { open } from 'node:fs/promises';
import path from 'node:path';
import { digestOfFile } from '../support/digests.ts';
import { fileBytes } from '../support/files.ts';
import { formatBytes } from '../support/format.ts';
import { messageOf, OperatorError } from '../support/operator-error.ts';
import { runStep } from '../support/progress.ts';
import { type FetchOptions, fetchModel } from './fetch.ts';
import { DEFAULT_MODEL_NAME, findModel, type ModelEntry, MODELS } from './registry.ts';

export interface ModelFile {
  readonly path: string;
  /** Registry name, or a name made of the file's own. */
  readonly name: string;
  readonly sha256: string;
  readonly bytes: number;
}

/** First bytes of every GGUF file. */
const GGUF_MAGIC = 'GGUF';

/** Longest model name: script names may have 63 characters, and `lamina-` and `-s15` are added. */
const NAME_CHARS_MAX = 48;

/** A file's name as part of a script name: lower case, digits, hyphens. */
export function modelNameOfFile(file: string): string {
  const name = path
    .basename(file)
    .replace(/\.gguf$/i, '')
    .toLowerCase()
    .replaceAll(/[^a-z0-9]+/g, '-')
    .slice(0, NAME_CHARS_MAX)
    .replaceAll(/^-+|-+$/g, '');
  return name === '' ? 'model' : name;
}

async function assertGguf(file: string): Promise<void> {
  const bytes = await fileBytes(file);
  if (bytes === null) {
    throw new OperatorError(
      'model_file_invalid',
      `The model file ${file} does not exist or is not a file.`,
      'Check LAMINA_MODEL_FILE, or unset it to fetch the default model.',
    );
  }
  try {
    const handle = await open(file, 'r');
    try {
      const { buffer } = await handle.read({ buffer: new Uint8Array(GGUF_MAGIC.length), position: 0 });
      if (new TextDecoder().decode(buffer) === GGUF_MAGIC) {
        return;
      }
    } finally {
      await handle.close();
    }
  } catch (error) {
    throw new OperatorError('model_file_invalid', `The model file ${file} cannot be read: ${messageOf(error)}.`);
  }
  throw new OperatorError(
    'model_file_invalid',
    `${file} is not a GGUF file: it does not start with "${GGUF_MAGIC}".`,
    'Give LAMINA_MODEL_FILE the path of a GGUF model, or unset it to fetch the default model.',
  );
}

async function localModelFile(file: string, options: FetchOptions): Promise<ModelFile> {
  return runStep(options.progress, 'Model file', async (step) => {
    await assertGguf(file);
    const bytes = (await fileBytes(file)) ?? 0;
    step.total(bytes, 'bytes');
    let numRead = 0;
    const sha256 = await digestOfFile(options.home.digests, file, (numBytes) => {
      numRead += numBytes;
      step.update(numRead);
    });
    const known = MODELS.find((model) => model.sha256 === sha256);
    const name = known?.name ?? modelNameOfFile(file);
    return { value: { path: file, name, sha256, bytes }, outcome: `${formatBytes(bytes)}, ${file}` };
  });
}

/** The registry entry of a name; `usage` error with the names that exist. */
export function requireModel(name: string): ModelEntry {
  const entry = findModel(name);
  if (entry === null) {
    const names = MODELS.map((model) => model.name).join(', ');
    throw new OperatorError('usage', `There is no model "${name}".`, `Known models: ${names}.`);
  }
  return entry;
}

/**
 * The model file to serve. `LAMINA_MODEL_FILE` wins, unless a model is asked for by name; otherwise the model is
 * fetched.
 */
export async function obtainModelFile(modelName: string | undefined, options: FetchOptions): Promise<ModelFile> {
  const local = options.env['LAMINA_MODEL_FILE'];
  if (modelName === undefined && local !== undefined && local !== '') {
    return localModelFile(path.resolve(local), options);
  }
  const entry = requireModel(modelName ?? DEFAULT_MODEL_NAME);
  const file = await fetchModel(entry, options);
  return { path: file, name: entry.name, sha256: entry.sha256, bytes: entry.bytes };
}
