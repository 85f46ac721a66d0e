/** A `LAMINA_HOME` of its own for a test or a bench that starts the platform, sharing the models that are already there. */
import { mkdir, mkdtemp, rm, symlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { homeLayout, resolveHome } from '../support/home.ts';

export interface TestHome {
  readonly path: string;
  remove(): Promise<void>;
}

/**
 * State, scripts and locks are private, so that test files may run beside each other and beside a platform that the
 * developer has open; fetched and converted models are the ones of the ordinary home.
 */
export async function createTestHome(sharedHome?: string): Promise<TestHome> {
  const shared = homeLayout(resolveHome(sharedHome, process.env));
  const own = homeLayout(await mkdtemp(path.join(tmpdir(), 'lamina-home-')));
  for (const folder of ['models', 'converted'] as const) {
    await mkdir(shared[folder], { recursive: true });
    await symlink(shared[folder], own[folder]);
  }
  return { path: own.root, remove: () => rm(own.root, { recursive: true, force: true }) };
}
