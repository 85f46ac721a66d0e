/**
 * The static assets of each worker, laid out as folders. Stage files are hard links into the converted model, so a plan
 * costs no disk space and no time; where links are not possible they are copied.
 */
import { copyFile, link, mkdir } from 'node:fs/promises';
import path from 'node:path';
import type { Manifest } from '../../shards/model/manifest.ts';
import { findModel } from '../models/registry.ts';
import { PROJECTION_FILE } from '../plan/topology.ts';
import { PROJECT_ROOT } from '../support/home.ts';
import { buildFolder } from '../support/build-folder.ts';
import { systemCodeOf } from '../support/operator-error.ts';
import type { Plan, StagePlan } from '../plan/plan.ts';

const PROJECTIONS_FOLDER = path.join(PROJECT_ROOT, 'ops', 'models', 'projections');

/** File systems without hard links, other devices, and limits on the number of links or the right to make them. */
const LINK_REFUSED = new Set(['EXDEV', 'EPERM', 'EMLINK', 'ENOTSUP', 'ENOSYS', 'EACCES']);

async function linkOrCopy(source: string, target: string): Promise<void> {
  try {
    await link(source, target);
  } catch (error) {
    if (!LINK_REFUSED.has(systemCodeOf(error) ?? '')) {
      throw error;
    }
    await copyFile(source, target);
  }
}

/** Names of the files that a stage loads: those of its layers, and the head's. */
export function stageFileNames(manifest: Manifest, stage: StagePlan): string[] {
  const isNeeded = (part: number | 'head'): boolean =>
    part === 'head' ? stage.stageIndex === 0 : part >= stage.layerStart && part < stage.layerEnd;
  return manifest.files.filter((file) => isNeeded(file.part)).map((file) => file.name);
}

export interface AssetFolderOptions {
  /** Where the folders go. */
  readonly folder: string;
  readonly convertedFolder: string;
  readonly manifest: Manifest;
  readonly manifestSha256: string;
  readonly plan: Plan;
}

/** Folder of a stage's assets, by its layers: plans with the same range share it. */
export function stageAssetFolder(folder: string, stage: StagePlan): string {
  const head = stage.stageIndex === 0 ? 'head-' : '';
  return path.join(folder, `${head}layers-${stage.layerStart}-${stage.layerEnd}`);
}

/** Lays out the stages' folders and returns their paths, in stage order. */
export async function layOutStageAssets(options: AssetFolderOptions): Promise<string[]> {
  const { convertedFolder, manifest, manifestSha256, plan } = options;
  return Promise.all(
    plan.stages.map(async (stage) => {
      const folder = stageAssetFolder(options.folder, stage);
      await buildFolder({
        folder,
        key: manifestSha256,
        build: async (into) => {
          const names = ['manifest.json', ...stageFileNames(manifest, stage)];
          await Promise.all(names.map((name) => linkOrCopy(path.join(convertedFolder, name), path.join(into, name))));
        },
      });
      return folder;
    }),
  );
}

export interface GatewayModelOptions {
  /** Of the gateway's assets. */
  readonly folder: string;
  /** Where the gateway's catalog says that the model's files are. */
  readonly assetsPath: string;
  /** Registry name. */
  readonly model: string;
  readonly convertedFolder: string;
}

/** Puts the tokenizer, the chat configuration and, if there is one, the embedding projection of a model in place. */
export async function layOutGatewayModel(options: GatewayModelOptions): Promise<void> {
  const { folder, assetsPath, model, convertedFolder } = options;
  const into = path.join(folder, ...assetsPath.split('/').filter((part) => part !== ''));
  await mkdir(into, { recursive: true });
  for (const name of ['tokenizer.json', 'chat.json']) {
    await linkOrCopy(path.join(convertedFolder, name), path.join(into, name));
  }
  const projectionFile = findModel(model)?.projectionFile;
  if (projectionFile !== undefined) {
    await copyFile(path.join(PROJECTIONS_FOLDER, projectionFile), path.join(into, PROJECTION_FILE));
  }
}
