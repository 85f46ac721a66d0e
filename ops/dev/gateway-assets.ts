/** Copies what the gateway serves to browsers, the playground. It is plain files: nothing is built. */
import { copyFile, mkdir } from 'node:fs/promises';
import path from 'node:path';
import { PLAYGROUND_FILES } from '../../worker/playground/files.ts';
import { PROJECT_ROOT } from '../support/home.ts';

const PLAYGROUND_FOLDER = path.join(PROJECT_ROOT, 'worker', 'playground');

export async function buildGatewayAssets(folder: string): Promise<void> {
  await mkdir(folder, { recursive: true });
  await Promise.all(
    PLAYGROUND_FILES.map((file) => copyFile(path.join(PLAYGROUND_FOLDER, file), path.join(folder, file))),
  );
}
