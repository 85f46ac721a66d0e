/** Brings a model into the form in which it is measured: its file, the converted folder, and the compiled kernels. */
import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { loadKernels } from '../../wasm/build.ts';
import { loadTextModel, type TextModel } from '../../worker/tokenizer/text-model.ts';
import { convertOnce } from '../dev/prepare.ts';
import type { FetchOptions } from '../models/fetch.ts';
import { type ModelFile, obtainModelFile } from '../models/model-file.ts';
import { findModel } from '../models/registry.ts';
import { withLock } from '../support/lock.ts';

export interface MeasuredModel {
  readonly file: ModelFile;
  /** Folder with `manifest.json`, the stage files, `tokenizer.json` and `chat.json`. */
  readonly convertedFolder: string;
  readonly kernels: WebAssembly.Module;
}

/**
 * @param model registry name or path of a GGUF file; undefined for `LAMINA_MODEL_FILE` or else the default model.
 * @throws OperatorError when it cannot be had.
 */
export async function prepareMeasuredModel(model: string | undefined, options: FetchOptions): Promise<MeasuredModel> {
  const isFile = model !== undefined && findModel(model) === null && existsSync(model);
  const file = isFile
    ? await obtainModelFile(undefined, { ...options, env: { ...options.env, LAMINA_MODEL_FILE: model } })
    : await obtainModelFile(model, options);
  const { home } = options;
  const convertedFolder = await withLock(home.prepareLock, `preparing a model under ${home.root}`, () =>
    convertOnce(file, options),
  );
  return { file, convertedFolder, kernels: await loadKernels() };
}

/** The tokenizer and chat template of a converted model. */
export function readTextModel(convertedFolder: string): Promise<TextModel> {
  return loadTextModel((file) => readFile(file, 'utf8'), path.resolve(convertedFolder));
}
