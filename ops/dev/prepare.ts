/**
 * The steps from a model's name to everything that the platform starts from: fetch, kernels, convert, plan. Each is
 * skipped when its inputs did not change.
 */
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import type { Manifest } from '../../shards/model/manifest.ts';
import { parseManifest } from '../../shards/model/parse-manifest.ts';
import { buildKernels } from '../../wasm/build.ts';
import { FEATURE_NUM_LAYERS } from '../../shards/features/recipe.ts';
import { planArena } from '../../wasm/host/stage-runtime.ts';
import { ConvertError } from '../convert/convert-error.ts';
import { convertedModelKey, convertModel } from '../convert/convert-model.ts';
import type { FetchOptions } from '../models/fetch.ts';
import { type ModelFile, obtainModelFile } from '../models/model-file.ts';
import { type Plan, planStages } from '../plan/plan.ts';
import { buildFolder } from '../support/build-folder.ts';
import { fileBytes, removeAbandoned, sha256Of, writeFileAtomic } from '../support/files.ts';
import { formatMib } from '../support/format.ts';
import { withLock } from '../support/lock.ts';
import { OperatorError } from '../support/operator-error.ts';
import { type Progress, runStep } from '../support/progress.ts';

/** What the operator may ask of the plan; everything else follows from the model. */
export interface PlanWishes {
  readonly contextLength?: number;
  readonly kvTokens?: number;
  readonly stageCount?: number;
  /** What one isolate may hold, for this machine only; a deployed isolate's by default. */
  readonly budgetBytes?: number;
}

export interface PreparedModel {
  readonly file: ModelFile;
  /** Folder with `manifest.json`, the stage files, `tokenizer.json` and `chat.json`. */
  readonly convertedFolder: string;
  readonly manifest: Manifest;
  readonly manifestSha256: string;
  readonly plan: Plan;
  readonly kernelsFile: string;
}

function explainConvertError(error: unknown): never {
  if (error instanceof ConvertError) {
    throw new OperatorError('model_file_invalid', `The model cannot be converted: ${error.message}`, null, {
      cause: error,
    });
  }
  throw error;
}

/** Converts `file` unless that has been done, and returns the folder: `outFolder`, or one under `LAMINA_HOME`. */
export async function convertOnce(file: ModelFile, options: FetchOptions, outFolder?: string): Promise<string> {
  const key = convertedModelKey({ sourceSha256: file.sha256, modelName: file.name });
  const folder = outFolder ?? path.join(options.home.converted, `${file.name}-${key.slice(0, 12)}`);
  return runStep(options.progress, 'Convert', async (step) => {
    const { reused } = await buildFolder({
      folder,
      key,
      build: async (outDir) => {
        await convertModel({
          source: file.path,
          outDir,
          modelName: file.name,
          onProgress: (done, total) => {
            step.total(total, 'bytes');
            step.update(done);
          },
        }).catch(explainConvertError);
      },
    });
    return { value: folder, outcome: reused ? 'reused' : path.basename(folder) };
  });
}

async function buildKernelsStep(progress: Progress): Promise<string> {
  return runStep(progress, 'Kernels', async () => {
    const kernels = await buildKernels();
    return { value: kernels.wasmPath, outcome: kernels.wasBuilt ? 'built' : 'reused' };
  });
}

export interface ConvertedModel {
  readonly manifest: Manifest;
  readonly manifestSha256: string;
  readonly tokenizerBytes: number;
}

export async function readConverted(folder: string): Promise<ConvertedModel> {
  const manifestBytes = await readFile(path.join(folder, 'manifest.json'));
  return {
    manifest: parseManifest(JSON.parse(manifestBytes.toString('utf8'))),
    manifestSha256: sha256Of(manifestBytes),
    tokenizerBytes: (await fileBytes(path.join(folder, 'tokenizer.json'))) ?? 0,
  };
}

/** The plan of a converted model; also written to `LAMINA_HOME/plan.json`, for people and for other tools. */
async function planStep(converted: ConvertedModel, wishes: PlanWishes, options: FetchOptions): Promise<Plan> {
  return runStep(options.progress, 'Plan', async () => {
    const { manifest, tokenizerBytes } = converted;
    const plan = planStages(
      { model: manifest.model, config: manifest.config, tokenizerBytes, headLayersMin: FEATURE_NUM_LAYERS, ...wishes },
      planArena,
    );
    await writeFileAtomic(options.home.planFile, `${JSON.stringify(plan, null, 2)}\n`);
    const largestBytes = Math.max(...plan.stages.map((stage) => stage.totalBytes));
    const stages = plan.stages.length === 1 ? '1 stage' : `${plan.stages.length} stages`;
    return { value: plan, outcome: `${stages}, at most ${formatMib(largestBytes)} each` };
  });
}

/** Does whatever is missing, in order, and returns what the platform needs. */
export async function prepareModel(
  modelName: string | undefined,
  wishes: PlanWishes,
  options: FetchOptions,
): Promise<PreparedModel> {
  const { home, progress } = options;
  return withLock(home.prepareLock, `preparing a model under ${home.root}`, async () => {
    await removeAbandoned(home.converted);
    const file = await obtainModelFile(modelName, options);
    const kernelsFile = await buildKernelsStep(progress);
    const convertedFolder = await convertOnce(file, options);
    const converted = await readConverted(convertedFolder);
    const plan = await planStep(converted, wishes, options);
    return { file, convertedFolder, ...converted, plan, kernelsFile };
  });
}
