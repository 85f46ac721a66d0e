/** The default model for tests: fetched and converted if `lamina setup` has not done it. */
import { setTimeout as wait } from 'node:timers/promises';
import type { FetchOptions } from '../../models/fetch.ts';
import { DEFAULT_MODEL_NAME } from '../../models/registry.ts';
import { homeLayout, resolveHome } from '../../support/home.ts';
import { OperatorError } from '../../support/operator-error.ts';
import { silentProgress } from '../../support/progress.ts';
import { type MeasuredModel, prepareMeasuredModel } from '../prepare.ts';

export const TEST_OPTIONS: FetchOptions = {
  home: homeLayout(resolveHome(undefined, process.env)),
  env: process.env,
  progress: silentProgress,
};

/** Test files run at the same time, and one of them prepares. A conversion takes seconds. */
const UNLOCKED_MS_MAX = 60_000;
const POLL_MS = 50;

/**
 * `LAMINA_MODEL_FILE` when it is the file that the golden data was made with, else the default model of the registry:
 * golden data of another file would say nothing.
 */
export async function prepareDefaultModel(modelSha256: string): Promise<MeasuredModel> {
  const model = await prepareWhenUnlocked(undefined);
  return model.file.sha256 === modelSha256 ? model : prepareWhenUnlocked(DEFAULT_MODEL_NAME);
}

/** Of the registry; undefined for `LAMINA_MODEL_FILE` or else the default model. */
export async function prepareWhenUnlocked(model: string | undefined): Promise<MeasuredModel> {
  const deadline = performance.now() + UNLOCKED_MS_MAX;
  for (;;) {
    try {
      return await prepareMeasuredModel(model, TEST_OPTIONS);
    } catch (error) {
      const isLocked = error instanceof OperatorError && error.code === 'already_running';
      if (!isLocked || performance.now() > deadline) {
        throw error;
      }
      await wait(POLL_MS);
    }
  }
}
