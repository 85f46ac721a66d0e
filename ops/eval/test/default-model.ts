/** The default model for tests: fetched and converted if `lamina setup` has not done it. */
import type { FetchOptions } from '../../models/fetch.ts';
import { DEFAULT_MODEL_NAME } from '../../models/registry.ts';
import { homeLayout, resolveHome } from '../../support/home.ts';
import { silentProgress } from '../../support/progress.ts';
import { type MeasuredModel, prepareMeasuredModel } from '../prepare.ts';

export const TEST_OPTIONS: FetchOptions = {
  home: homeLayout(resolveHome(undefined, process.env)),
  env: process.env,
  progress: silentProgress,
};

/**
 * `LAMINA_MODEL_FILE` when it is the file that the golden data was made with, else the default model of the registry:
 * golden data of another file would say nothing.
 */
export async function prepareDefaultModel(modelSha256: string): Promise<MeasuredModel> {
  const model = await prepareMeasuredModel(undefined, TEST_OPTIONS);
  return model.file.sha256 === modelSha256 ? model : prepareMeasuredModel(DEFAULT_MODEL_NAME, TEST_OPTIONS);
}
