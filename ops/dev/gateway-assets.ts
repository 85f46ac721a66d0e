/** Builds what the gateway serves to browsers: the playground. */
import { mkdir } from 'node:fs/promises';

export async function buildGatewayAssets(folder: string): Promise<void> {
  await mkdir(folder, { recursive: true });
}
