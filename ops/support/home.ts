/** Where everything lies under `LAMINA_HOME`. One function, so that no path is spelled twice. */
import path from 'node:path';

/** The project's folder: two above this file. */
export const PROJECT_ROOT = path.resolve(import.meta.dirname, '..', '..');

export interface HomeLayout {
  readonly root: string;
  /** Fetched model files, and their unfinished parts. */
  readonly models: string;
  /** Converted models, one folder each. */
  readonly converted: string;
  /** Bundled scripts of the gateway and the stages. */
  readonly scripts: string;
  /** Assets of each worker, hard links into `converted`. */
  readonly assets: string;
  /** Storage of the Durable Objects. */
  readonly state: string;
  /** Configurations for the deployed platform. */
  readonly deploy: string;
  /** The plan that `lamina dev` runs. */
  readonly planFile: string;
  /** Digests of files that have been read, with the size and time they had then. */
  readonly digests: string;
  /** Held by a running platform. */
  readonly platformLock: string;
  /** Held while outputs are made. */
  readonly prepareLock: string;
  readonly fetchLock: string;
}

export function homeLayout(home: string): HomeLayout {
  const root = path.resolve(home);
  return {
    root,
    models: path.join(root, 'models'),
    converted: path.join(root, 'converted'),
    scripts: path.join(root, 'build'),
    assets: path.join(root, 'assets'),
    state: path.join(root, 'state'),
    deploy: path.join(root, 'deploy'),
    planFile: path.join(root, 'plan.json'),
    digests: path.join(root, 'digests.json'),
    prepareLock: path.join(root, 'prepare.lock'),
    platformLock: path.join(root, 'platform.lock'),
    fetchLock: path.join(root, 'fetch.lock'),
  };
}

/** `--home`, else `LAMINA_HOME`, else `.lamina` in the project's folder. */
export function resolveHome(flag: string | undefined, env: NodeJS.ProcessEnv): string {
  const named = flag ?? env['LAMINA_HOME'];
  return named === undefined || named === '' ? path.join(PROJECT_ROOT, '.lamina') : path.resolve(named);
}
